// examples/web in Chromium, served from an origin of its own: `other_origin.cjs BASE TOKEN PORT allowed|foreign`.
const assert = require("node:assert");
const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const { chromium } = require("playwright-core");

const [base, token, port, whether] = process.argv.slice(2);
const folder = path.join(__dirname, "../../examples/web");
const KINDS = { ".html": "text/html", ".js": "text/javascript" };

http.createServer((request, answer) => {
  const file = path.join(folder, path.basename(request.url) || "index.html");
  if (!fs.existsSync(file)) return answer.writeHead(404).end();
  answer.writeHead(200, { "content-type": KINDS[path.extname(file)] });
  return answer.end(fs.readFileSync(file));
}).listen(Number(port), "127.0.0.1", async () => {
  try {
    const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: ["--no-sandbox"] });
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${port}/`);
    for (const [name, value] of Object.entries({ base, line: "mic", token })) await page.fill(`[name=${name}]`, value);
    await page.click("button");
    if (whether === "allowed") {
      await page.waitForFunction(() => document.querySelector("audio").duration > 0.5);
      assert.match(await page.textContent("[role=status]"), /stop tone # was heard/);
    } else {
      await page.waitForFunction(() => /was not recorded/.test(document.querySelector("[role=status]").textContent));
    }
    await browser.close();
    process.exit(0);
  } catch (error) {
    console.error(error);
    process.exit(1);
  }
});
