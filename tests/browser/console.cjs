// The console in Chromium: `console.cjs SCENARIO BASE TOKEN [FOLDER]`. What a scenario needs of the daemon it asks for on
// standard output, a word a line, and goes on when a line comes back.
const assert = require("node:assert");
const fs = require("node:fs");
const readline = require("node:readline");
const { chromium } = require("playwright-core");

const [scenario, base, token, folder] = process.argv.slice(2);
const PATIENCE = { timeout: 20_000 };
const answers = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function need(what) {
  console.log(what);
  await answers.next();
}

/** A tab of its own session; whatever the page complains of fails the scenario. */
async function tab(browser, options = {}, allowed = []) {
  const page = await (await browser.newContext(options)).newPage();
  const wrong = (words) => {
    if (!allowed.some((known) => words.includes(known))) throw new Error(`the page says: ${words}`);
  };
  page.on("pageerror", (error) => wrong(error.message));
  page.on("console", (message) => message.type() === "error" && wrong(message.text()));
  page.setDefaultTimeout(PATIENCE.timeout);
  return page;
}

async function signIn(page, path = "/") {
  await page.goto(base + path);
  await page.fill("#token", token);
  await page.click("#ask button");
  await page.waitForSelector("#lines article", { state: "attached" });
}

async function record(page, line, fields) {
  await page.click("nav a[href='#now']");
  await page.click(`#lines article[aria-label='Line ${line}'] button`);
  for (const [name, value] of Object.entries(fields)) {
    const field = page.locator(`#form [name=${name}]`);
    if (typeof value === "boolean") await field.setChecked(value);
    else await field.fill(value);
  }
  await page.click("#form button.main");
}

const idle = (page) => page.waitForFunction(() => !document.querySelector("#running article"), null, PATIENCE);
const found = (page, words) => page.waitForFunction((words) => document.querySelector("#found").textContent === words, words, PATIENCE);
const inked = (canvas) => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.filter((value) => value).length;

async function openFirst(page) {
  await page.click("nav a[href='#recordings']");
  await page.click("#list li button");
  await page.waitForSelector("#details[open] .said");
}

const HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>";

const SCENARIOS = {
  async records(browser) {
    const page = await tab(browser);
    page.on("dialog", () => assert.fail("a context became a script"));
    await signIn(page);
    await record(page, "desk", { stopTones: "#", clientContext: HOSTILE, maxRecordDurationInSeconds: "60", playBeep: false });
    assert.match(await page.textContent("#form pre"), /"stopTones": \[\s*"#"\s*\]/);
    assert.match(await page.textContent("#form pre[aria-label=curl]"), /curl -X POST .*app\/calls\/desk\/record$/s);
    const card = page.locator("#running article");
    await card.waitFor();
    // It grows, and says what will end it.
    const seconds = async () => parseFloat((await card.locator("p").textContent()).match(/([\d.]+) s recorded; ends by .* in [\d.]+ s/)?.[1]);
    await page.waitForFunction(() => /recorded; ends by/.test(document.querySelector("#running article p")?.textContent), null, PATIENCE);
    const first = await seconds();
    await page.waitForFunction((first) => parseFloat(document.querySelector("#running article p")?.textContent) > first, first, PATIENCE);
    for (let tries = 0; !(await card.locator("canvas").evaluate(inked)); tries++) {
      assert(tries < 100, "the waveform stays empty");
      await page.waitForTimeout(50);
    }
    // The key that ends it is shown as it is heard.
    await page.waitForSelector("#lines article[aria-label='Line desk'] .keys li");
    assert.match(await page.textContent("#lines article[aria-label='Line desk'] .keys li b"), /#/);
    await idle(page);
    await openFirst(page);
    assert.match(await page.textContent("#details .said"), /^Ended by # at [\d.]+ s: heard 9\d\d\.\d \+ 14\d\d\.\d Hz, −[\d.]+ dBFS, decided \d+ ms after its onset\.$/);
    assert(await page.textContent("#details").then((text) => text.includes(HOSTILE)));
    assert.strictEqual(await page.locator("#details img, #list img").count(), 0);
    assert.match(await page.textContent("#details .marks"), /speech: .*key #: .*decision: /s);
    // It plays, and the waveform is a slider.
    await page.waitForFunction(() => document.querySelector("#details audio").readyState >= 2, null, PATIENCE);
    await page.evaluate(() => document.querySelector("#details audio").play());
    await page.waitForFunction(() => document.querySelector("#details audio").currentTime > 0.2, null, PATIENCE);
    await page.focus("#details canvas");
    await page.keyboard.press("Home");
    await page.evaluate(() => document.querySelector("#details audio").pause());
    assert(await page.locator("#details canvas").evaluate(inked) > 0);
    const download = page.waitForEvent("download");
    await page.click("#details button.main");
    const bytes = fs.readFileSync(await (await download).path());
    assert.strictEqual(bytes.toString("latin1", 0, 4), "RIFF");
    await page.click("#details >> text=Delete");
    await page.click("#details >> text=Really delete");
    await found(page, "None found.");
  },

  async wrong_values(browser) {
    const page = await tab(browser, {}, ["status of 4"]);
    await signIn(page);
    await record(page, "desk", { maxSilenceTimeoutInSeconds: "0" });
    await page.waitForSelector("#form [role=status].bad");
    assert.match(await page.textContent("#form [role=status]"), /1 to 86400.*Nothing was recorded/);
    assert.strictEqual(await page.evaluate(() => document.activeElement.name), "maxSilenceTimeoutInSeconds");
  },

  async wrong_token(browser) {
    const page = await tab(browser, {}, ["status of 401"]);
    await page.goto(base);
    await page.fill("#token", "wrong");
    await page.click("#ask button");
    await page.waitForFunction(() => /does not know/.test(document.querySelector("#ask-error").textContent));
    assert.strictEqual(await page.evaluate(() => sessionStorage.length + localStorage.length), 0);
    await page.fill("#token", token);
    await page.click("#ask button");
    await page.waitForSelector("#lines article");
    // Kept over a reload, in this tab only, and nowhere else.
    await page.reload();
    await page.waitForSelector("#lines article");
    assert.deepStrictEqual(await page.evaluate(() => [sessionStorage.length, localStorage.length, document.cookie, location.search]), [1, 0, "", ""]);
    const other = await page.context().newPage();
    await other.goto(base);
    await other.waitForSelector("#ask[open]");
    await page.click("#leave");
    await page.waitForSelector("#ask[open]");
  },

  async two_tabs(browser) {
    const [one, two] = [await tab(browser), await tab(browser)];
    await signIn(one);
    await signIn(two);
    await record(one, "quiet", { clientContext: "seen by both", initialSilenceTimeoutInSeconds: "60", maxRecordDurationInSeconds: "60", playBeep: false });
    await two.waitForSelector("#running article >> text=seen by both");
    await two.click("#running article >> text=Cancel");
    await idle(one);
    await openFirst(one);
    assert.match(await one.textContent("#details .said"), /Canceled by a DELETE/);
  },

  async restart(browser) {
    const page = await tab(browser, {}, ["net::ERR", "Failed to load"]);
    await signIn(page);
    await record(page, "quiet", { clientContext: "interrupted", initialSilenceTimeoutInSeconds: "60", maxRecordDurationInSeconds: "60", playBeep: false });
    await page.waitForFunction(() => /[1-9]\.\d s recorded/.test(document.querySelector("#running")?.textContent), null, PATIENCE);
    await need("kill");
    await page.waitForFunction(() => /cannot be reached/.test(document.querySelector("#health").textContent), null, PATIENCE);
    await need("start");
    await page.waitForFunction(() => /^Connected/.test(document.querySelector("#health").textContent), null, PATIENCE);
    await idle(page);
    await openFirst(page);
    assert.match(await page.textContent("#details .said"), /stopped unexpectedly; what had been recorded was recovered/);
    assert.match(await page.textContent("#details .facts"), /yes, after a crash/);
  },

  async notifications(browser) {
    const page = await tab(browser);
    await signIn(page);
    await record(page, "quiet", { maxRecordDurationInSeconds: "1", playBeep: false });
    await page.waitForSelector("#running article");
    await idle(page);
    await need("given up");
    await page.click("nav a[href='#notifications']");
    await page.waitForSelector("#undelivered td");
    await need("listen");
    await page.click("#undelivered button");
    await page.waitForSelector("#undelivered .quiet");
    await need("delivered");
  },

  async many(browser) {
    const page = await tab(browser, { viewport: { width: 1280, height: 900 } });
    await signIn(page, "/#recordings");
    await found(page, `${(10_000).toLocaleString("en-US")} found`);
    // Every screenful down to the last: how long a frame of scrolling takes.
    const frames = await page.evaluate(async () => {
      const box = document.querySelector("#list");
      const times = [];
      let last = performance.now();
      let most = 0;
      for (let step = 0; step < 3000 && box.scrollTop + box.clientHeight < box.scrollHeight - 1; step++) {
        box.scrollTop += 400;
        await new Promise((resolve) => requestAnimationFrame(resolve));
        const now = performance.now();
        times.push(now - last);
        last = now;
        most = Math.max(most, box.querySelectorAll("li").length);
      }
      times.sort((a, b) => a - b);
      const at = (share) => times[Math.floor((times.length - 1) * share)].toFixed(1);
      return { count: times.length, p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1), most };
    });
    console.log(`# scrolling 10,000: ${JSON.stringify(frames)}`);
    assert(frames.most < 80, `${frames.most} rows in the page`);
    assert.strictEqual(await page.locator("#list li").last().getAttribute("aria-posinset"), "10000");
    await page.evaluate(() => { document.querySelector("#list").scrollTop = 0; });
    await page.waitForSelector("#list li[aria-posinset='1']");
    await page.focus("#list li[aria-posinset='1'] button");
    await page.keyboard.press("ArrowDown");
    assert.strictEqual(await page.evaluate(() => document.activeElement.dataset.index), "1");
    await page.keyboard.press("End");
    assert.strictEqual(await page.evaluate(() => document.activeElement.dataset.index), "9999");
    await page.fill("#search [name=text]", "NUMBER 77 ");
    await found(page, "1 found");
    await page.fill("#search [name=text]", "");
    await page.selectOption("#search [name=reason]", "initialSilenceTimeout");
    await found(page, "None found.");
    await page.selectOption("#search [name=reason]", "");
    await page.fill("#search [name=before]", "2001-01-01");
    await found(page, "None found.");
    await page.fill("#search [name=before]", "");
    await page.selectOption("#search [name=line]", "desk");
    await found(page, `${(10_000).toLocaleString("en-US")} found`);
  },

  async accessible(browser) {
    const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
    for (const options of [{ colorScheme: "light" }, { colorScheme: "dark" }, { colorScheme: "dark", viewport: { width: 360, height: 740 } }]) {
      const page = await tab(browser, { ...options, bypassCSP: true });
      const check = async (where) => {
        const words = await page.evaluate(async (axe) => {
          if (!window.axe) new Function(axe)();
          const { violations } = await window.axe.run();
          return violations.filter(({ impact }) => impact === "serious" || impact === "critical").map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`);
        }, axe);
        assert.deepStrictEqual(words, [], `${where}, ${JSON.stringify(options)}`);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert(wide <= 0, `${where} is ${wide} px wider than the window, ${JSON.stringify(options)}`);
      };
      await page.goto(base);
      await page.waitForSelector("#ask[open]");
      await check("the question for the token");
      await signIn(page);
      await record(page, "quiet", { clientContext: "x".repeat(256), maxRecordDurationInSeconds: "3", playBeep: false, initialSilenceTimeoutInSeconds: "60" });
      await page.click("text=Add a prompt");
      await page.waitForSelector("#running article");
      await check("now");
      await idle(page);
      await page.click("nav a[href='#recordings']");
      await page.waitForSelector("#list li");
      await check("recordings");
      // By keyboard alone: to a row, into its details, out again.
      await page.focus("#list");
      await page.keyboard.press("ArrowDown");
      const focused = () => page.evaluate(() => document.activeElement.textContent);
      const row = await focused();
      await page.keyboard.press("Enter");
      await page.waitForSelector("#details[open] canvas");
      await page.waitForTimeout(300);
      await check("details");
      // The list behind is read anew, for another recording has ended.
      const before = await page.textContent("#found");
      const asked = { method: "POST", headers: { authorization: `Bearer ${token}`, "content-type": "application/json" }, body: JSON.stringify({ maxRecordDurationInSeconds: 1, playBeep: false }) };
      assert.strictEqual((await fetch(`${base}/app/calls/quiet/record`, asked)).status, 202);
      await page.waitForFunction((before) => document.querySelector("#found").textContent !== before, before, PATIENCE);
      await page.keyboard.press("Escape");
      await page.waitForSelector("#details", { state: "hidden" });
      assert.strictEqual(await focused(), row, "the row has the focus again");
      await page.click("nav a[href='#notifications']");
      await check("notifications");
    }
  },

  async weight(browser) {
    const paints = [];
    let bytes = 0;
    for (let round = 0; round < 10; round++) {
      const page = await tab(browser);
      await page.goto(base, { waitUntil: "networkidle" });
      paints.push(await page.evaluate(() => new Promise((resolve) => {
        new PerformanceObserver((list) => resolve(list.getEntriesByName("first-contentful-paint")[0]?.startTime)).observe({ type: "paint", buffered: true });
      })));
      bytes = await page.evaluate(() => ["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind)).reduce((sum, { transferSize }) => sum + transferSize, 0));
      await page.context().close();
    }
    paints.sort((a, b) => a - b);
    console.log(`# the page: ${bytes} bytes; first paint of 10 loads: ${paints.map((ms) => ms.toFixed(0)).join(" ")} ms`);
    assert(bytes > 20_000 && bytes <= 150_000, `${bytes} bytes`);
  },

  async screenshots(browser) {
    const shot = async (page, name) => page.screenshot({ path: `${folder}/${name}.png` });
    const size = { width: 1100, height: 760 };
    const page = await tab(browser, { colorScheme: "light", viewport: size });
    await signIn(page);
    await record(page, "desk", { stopTones: "*", clientContext: "visitor 17", maxRecordDurationInSeconds: "5", playBeep: false });
    await page.evaluate(() => scrollTo(0, 0));
    await page.waitForFunction(() => parseFloat(document.querySelector("#running article p")?.textContent) > 1.2, null, PATIENCE);
    await page.waitForTimeout(300);
    await shot(page, "now");
    await idle(page);
    await page.click("nav a[href='#recordings']");
    await page.click("#list button >> text=visitor 16");
    await page.waitForFunction(() => document.querySelector("#details audio").readyState >= 2, null, PATIENCE);
    await page.waitForTimeout(300);
    await shot(page, "details");
    const phone = await tab(browser, { colorScheme: "dark", viewport: { width: 390, height: 760 } });
    await signIn(phone);
    await phone.waitForTimeout(700);
    await shot(phone, "phone");
    const list = await tab(browser, { colorScheme: "dark", viewport: size });
    await signIn(list, "/#recordings");
    await list.waitForSelector("#list li");
    await shot(list, "recordings");
  },
};

(async () => {
  const args = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"];
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args });
  await SCENARIOS[scenario](browser);
  await browser.close();
  process.exit(0);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
