// Records through the API from a page of another origin: asks, waits, fetches, plays.
const form = document.querySelector("form");
const say = (words) => { document.querySelector("[role=status]").textContent = words; };

form.onsubmit = async (event) => {
  event.preventDefault();
  const { base, line, token } = Object.fromEntries(new FormData(form));
  const ask = async (url, options = {}) => {
    const answer = await fetch(url, { ...options, headers: { ...options.headers, authorization: `Bearer ${token}` } });
    if (!answer.ok) throw new Error((await answer.json()).error.message);
    return answer;
  };
  try {
    const body = JSON.stringify({ playBeep: false, stopTones: ["#"], maxSilenceTimeoutInSeconds: 2, maxRecordDurationInSeconds: 60 });
    const accepted = await ask(`${base}/app/calls/${line}/record`, { method: "POST", headers: { "content-type": "application/json" }, body });
    let operation = await accepted.json();
    say("Speak; # or a pause ends it.");
    while (operation.status === "notStarted" || operation.status === "running") {
      await new Promise((resolve) => setTimeout(resolve, 200));
      operation = await (await ask(accepted.headers.get("location"))).json();
    }
    say(operation.resultInfo.message);
    if (!operation.recordingLocation) return;
    const audio = document.querySelector("audio");
    audio.src = URL.createObjectURL(await (await ask(operation.recordingLocation)).blob());
    audio.hidden = false;
  } catch (error) {
    say(`It was not recorded: ${error.message}`);
  }
};
