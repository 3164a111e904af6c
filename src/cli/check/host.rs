//! The host: who we are here, whether threads get real-time priority, whether the clock is right.

use std::process::Command;

use rustix::process::{Resource, geteuid, getrlimit};

use super::Finding;

/// As whom all of this is looked at.
pub fn user() -> Finding {
    let what = "user";
    let id = geteuid();
    let name = name_in("/etc/passwd", id.as_raw()).unwrap_or_else(|| format!("the one with id {}", id.as_raw()));
    match id.is_root() {
        false => Finding::well(what, name),
        true => Finding::well(
            what,
            "root, who may do what the daemon's user may not; as that one: `systemd-run -qP -p DynamicUser=yes -p User=tonearm \
             -p StateDirectory=tonearm -p SupplementaryGroups=audio -p LimitRTPRIO=20 tonearm check`",
        ),
    }
}

/// The name in a list of `NAME:x:ID:…`.
pub fn name_in(list: &str, id: u32) -> Option<String> {
    let text = std::fs::read_to_string(list).ok()?;
    let mut rows = text.lines().map(|row| row.split(':').collect::<Vec<_>>());
    rows.find(|row| row.get(2).is_some_and(|it| it.parse() == Ok(id))).map(|row| row[0].to_owned())
}

/// Whether audio threads may have priority: it is tried.
pub fn real_time() -> Finding {
    let what = "real-time priority";
    let limit = |resource| match getrlimit(resource).current {
        Some(limit) => limit.to_string(),
        None => "unlimited".to_owned(),
    };
    let limits = format!("limits: rtprio {}, memlock {} bytes", limit(Resource::Rtprio), limit(Resource::Memlock));
    match crate::capture::try_real_time() {
        Ok(()) => Finding::well(what, format!("granted; {limits}")),
        Err(why) => Finding::to_do(
            what,
            format!("refused, so a busy host may lose frames: {why}; {limits}"),
            "under systemd LimitRTPRIO=20 (tonearm.service has it); else `echo '@audio - rtprio 20' | sudo tee \
             /etc/security/limits.d/audio.conf`, and log in again",
        ),
    }
}

/// Whether somebody keeps the clock right. Recordings count frames; operations, notifications and tokens carry times.
pub fn clock() -> Finding {
    let what = "clock";
    let asked = Command::new("timedatectl").args(["show", "--property=NTPSynchronized", "--value"]).output();
    let answer = asked.ok().filter(|output| output.status.success());
    let now = crate::clock::wall().strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    match answer.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).as_deref() {
        Some("yes") => Finding::well(what, format!("{now}, synchronized")),
        Some(_) => Finding::to_do(
            what,
            format!(
                "{now}, and nobody keeps it right: times of operations and of notifications' signatures may be wrong"
            ),
            "`sudo timedatectl set-ntp true`, or install one that does: `sudo apt install systemd-timesyncd`",
        ),
        None => Finding::well(what, format!("{now}; who keeps it right is not known, there is no systemd to ask")),
    }
}
