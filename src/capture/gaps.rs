//! What a device lost without saying how much: found by comparing how many frames came with how long it took.
//!
//! The measure is how many frames are *missing*: those that should have come by the clock, less those that came. A callback
//! is late, never early, so frames that wait somewhere raise it until they come, and frames that are lost raise it for
//! good. The two are told apart by the least that was missing over a while, held against the *base*, which is what is
//! missing when nothing is lost and nothing waits. What stands above the base is lost
//!
//! * when callbacks come evenly again: what waited has come by then, for it comes as fast as the host can copy;
//! * when more than [`MUCH_MS`] stood for [`MUCH_AFTER`] slots: on a host that is never calm;
//! * when more than [`LITTLE_MS`] stood for [`LITTLE_AFTER`] slots: small losses add up;
//! * at once, up to the moment when the device said that it began anew: what it had not delivered then is gone.
//!
//! So a gap lies behind its place by as long as it took to be sure of it. Frames that come after they were told lost (they
//! waited longer than a host was calm) make up for the next that are lost: the sum is right again.

use crate::units::Rate;

/// The least that was missing is kept for slots of this length in which callbacks came.
const SLOT_MS: u32 = 100;
/// Callbacks are even if what is missing after each differs by no more than this …
const EVEN_MS: u32 = 20;
/// … for so long, and for so many: two that come at a long period can be late by the same.
const CALM_MS: u32 = 250;
const CALM_CALLBACKS: u32 = 5;
/// More than time stamps of sound servers are off by.
const MUCH_MS: u32 = 60;
const MUCH_AFTER: usize = 20;
/// More than the least lateness of callbacks changes in the seconds that are looked at.
const LITTLE_MS: u32 = 20;
const LITTLE_AFTER: usize = 50;
/// The base follows a device's clock by no more than so many frames in a million, ten times what quartz is off by. Losses
/// that are as rare as that (10 ms in 20 s) are taken for a slow clock.
const DRIFT_PPM: i64 = 500;
/// The base is kept in so small parts of a frame.
const PARTS: i64 = 1_000_000;

/// Keeps count of one stream. All times are nanoseconds on the stream's clock.
#[derive(Debug)]
pub struct Gaps {
    rate: Rate,
    first_ns: Option<u64>,
    came: i64,
    /// Told lost.
    told: i64,
    /// What was missing after the last callback, and in parts of a frame what is when nothing is lost.
    missing: i64,
    base_parts: i64,
    slot: Slot,
    slots: Slots,
    calm: Calm,
}

/// The least that was missing in one slot.
#[derive(Clone, Copy, Debug)]
struct Slot {
    number: u64,
    least: i64,
}

/// The least of the last slots, in a circle.
#[derive(Debug)]
struct Slots {
    least: [i64; LITTLE_AFTER],
    count: usize,
}

/// Since when callbacks come evenly, and what was missing since then.
#[derive(Clone, Copy, Debug)]
struct Calm {
    since_ns: u64,
    callbacks: u32,
    least: i64,
    most: i64,
}

impl Gaps {
    /// For a stream of this rate.
    pub fn new(rate: Rate) -> Gaps {
        Gaps {
            rate,
            first_ns: None,
            came: 0,
            told: 0,
            missing: 0,
            base_parts: 0,
            slot: Slot { number: 0, least: i64::MAX },
            slots: Slots { least: [i64::MAX; LITTLE_AFTER], count: 0 },
            calm: Calm { since_ns: 0, callbacks: 0, least: 0, most: 0 },
        }
    }

    /// A callback brought `frames` at `now_ns`; `anew_ns` is when the device, if it said so since the last callback, lost
    /// some and began anew. Says how many were lost. Neither allocates nor waits.
    pub fn observe(&mut self, now_ns: u64, frames: usize, anew_ns: Option<u64>) -> u64 {
        let first = self.first_ns.is_none();
        let first_ns = *self.first_ns.get_or_insert(now_ns);
        let mut lost = 0;
        if let Some(anew_ns) = anew_ns {
            // What came now was captured after that.
            let captured_ns = now_ns.saturating_sub((self.rate.seconds(frames as u64) * 1e9) as u64);
            lost += self.tell(self.missing_at(anew_ns.min(captured_ns)), 0);
        }
        self.came += frames as i64;
        self.missing = self.missing_at(now_ns);
        if first || self.missing < self.base() {
            self.base_parts = self.missing * PARTS;
        }
        if !first && self.calm.goes_on(self.missing, self.frames_in(EVEN_MS)) {
            let is_long = now_ns.saturating_sub(self.calm.since_ns) >= u64::from(CALM_MS) * 1_000_000;
            if is_long && self.calm.callbacks >= CALM_CALLBACKS {
                lost += self.tell(self.calm.least, self.frames_in(LITTLE_MS));
            }
        } else {
            self.calm = Calm { since_ns: now_ns, callbacks: 1, least: self.missing, most: self.missing };
        }
        let number = now_ns.saturating_sub(first_ns) / (u64::from(SLOT_MS) * 1_000_000);
        if number == self.slot.number {
            self.slot.least = self.slot.least.min(self.missing);
        } else {
            lost += self.close_slot(number);
        }
        lost
    }

    /// How many frames should have come with the last callback and did not: if none come after it, they are lost.
    pub fn owed(&self) -> u64 {
        (self.missing - self.base() - self.told).max(0) as u64
    }

    /// Whether the last callback was so late that it says nothing of the device's clock.
    pub fn is_late(&self) -> bool {
        self.owed() as i64 > self.frames_in(LITTLE_MS)
    }

    fn close_slot(&mut self, number: u64) -> u64 {
        let passed = (number - self.slot.number) as i64;
        self.slots.push(self.slot.least);
        self.slot = Slot { number, least: self.missing };
        let mut lost = 0;
        for (after, least_ms) in [(MUCH_AFTER, MUCH_MS), (LITTLE_AFTER, LITTLE_MS)] {
            if let Some(least) = self.slots.least_of(after) {
                lost += self.tell(least, self.frames_in(least_ms));
            }
        }
        if let Some(least) = self.slots.least_of(LITTLE_AFTER) {
            let most = passed * self.frames_in(SLOT_MS) * DRIFT_PPM;
            self.base_parts += ((least - self.told) * PARTS - self.base_parts).clamp(-most, most);
        }
        lost
    }

    /// So many are missing that will not come: what was not told yet is lost, if it is more than `least`.
    fn tell(&mut self, missing: i64, least: i64) -> u64 {
        let lost = missing - self.base() - self.told;
        if lost <= least {
            return 0;
        }
        self.told += lost;
        // What was missing before the loss says nothing of the base any more.
        let least = self.base() + self.told;
        self.slots.raise(least);
        self.slot.least = self.slot.least.max(least);
        lost as u64
    }

    fn missing_at(&self, now_ns: u64) -> i64 {
        let elapsed_ns = now_ns.saturating_sub(self.first_ns.unwrap_or(now_ns));
        (u128::from(elapsed_ns) * u128::from(self.rate.hz()) / 1_000_000_000) as i64 - self.came
    }

    fn base(&self) -> i64 {
        self.base_parts.div_euclid(PARTS)
    }

    fn frames_in(&self, ms: u32) -> i64 {
        self.rate.frames_in_ms(ms) as i64
    }
}

impl Slots {
    fn push(&mut self, least: i64) {
        self.least[self.count % LITTLE_AFTER] = least;
        self.count += 1;
    }

    fn raise(&mut self, least: i64) {
        self.least.iter_mut().for_each(|old| *old = least.max(*old));
    }

    /// Of the last so many, if there were as many.
    fn least_of(&self, last: usize) -> Option<i64> {
        let from = self.count.checked_sub(last)?;
        (from..self.count).map(|n| self.least[n % LITTLE_AFTER]).min()
    }
}

impl Calm {
    /// Takes in what is missing after another callback; `false` if that is too far from the others.
    fn goes_on(&mut self, missing: i64, even: i64) -> bool {
        self.callbacks = self.callbacks.saturating_add(1);
        (self.least, self.most) = (self.least.min(missing), self.most.max(missing));
        self.most - self.least <= even
    }
}

#[cfg(test)]
#[path = "gaps_tests.rs"]
mod tests;
