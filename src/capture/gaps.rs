//! What a device lost without saying how much: found by comparing how many frames came with how long it took.
//!
//! A single late callback means nothing: the frames it brings may be old ones that waited. So the measure is the
//! *deficit*, frames that should have come less frames that came, and only its floor counts: a callback that is late
//! raises the deficit until the ones behind it have caught up; frames that are lost raise it for good.

use crate::units::Rate;

/// Callbacks that are so much later than usual are looked into.
const LATE_MS: u32 = 150;
/// Frames that waited come within so long after a late callback; what has not come then never will.
const PATIENCE_MS: u32 = 100;
/// Less than this is what time stamps of sound servers are off by.
const LEAST_MS: u32 = 60;
/// The floor follows a rising deficit by this part each callback: clocks that are apart by 500 ppm are not losses.
const FLOOR_FOLLOWS: i64 = 64;

/// Keeps count of one stream. All times are nanoseconds on the stream's clock.
#[derive(Debug)]
pub struct Gaps {
    rate: Rate,
    anchor_ns: Option<u64>,
    last_ns: u64,
    /// Frames that came or are known to be lost.
    counted: i64,
    floor: i64,
    suspicion: Option<Suspicion>,
}

#[derive(Clone, Copy, Debug)]
struct Suspicion {
    until_ns: u64,
    floor: i64,
}

impl Gaps {
    /// For a stream of this rate.
    pub fn new(rate: Rate) -> Gaps {
        Gaps { rate, anchor_ns: None, last_ns: 0, counted: 0, floor: 0, suspicion: None }
    }

    /// A callback brought `frames` at `now_ns`; `xrun` if the device said since the last one that it lost some. Says how
    /// many were lost. Neither allocates nor waits.
    pub fn observe(&mut self, now_ns: u64, frames: usize, xrun: bool) -> u64 {
        let anchor_ns = *self.anchor_ns.get_or_insert(now_ns);
        let late = now_ns.saturating_sub(self.last_ns) > u64::from(LATE_MS) * 1_000_000 && self.counted > 0;
        if self.counted == 0 {
            // The first callback brings frames from before the anchor.
            self.floor = -(frames as i64);
        }
        self.last_ns = now_ns;
        self.counted += frames as i64;
        let elapsed = u128::from(now_ns.saturating_sub(anchor_ns)) * u128::from(self.rate.hz()) / 1_000_000_000;
        let deficit = elapsed as i64 - self.counted;
        if xrun {
            // The device started anew: nothing old is under way.
            self.suspicion = None;
            return self.lose(deficit, 0);
        }
        if late {
            let until_ns = now_ns + u64::from(PATIENCE_MS) * 1_000_000;
            self.suspicion = Some(Suspicion { until_ns, floor: deficit });
        }
        match &mut self.suspicion {
            Some(suspicion) => {
                suspicion.floor = suspicion.floor.min(deficit);
                let Suspicion { until_ns, floor } = *suspicion;
                if now_ns < until_ns {
                    return 0;
                }
                self.suspicion = None;
                self.lose(floor, self.rate.frames_in_ms(LEAST_MS) as i64)
            }
            None => {
                self.floor = deficit.min(self.floor + (deficit - self.floor) / FLOOR_FOLLOWS);
                0
            }
        }
    }

    fn lose(&mut self, deficit: i64, least: i64) -> u64 {
        let lost = deficit - self.floor;
        if lost <= least {
            return 0;
        }
        self.counted += lost;
        lost as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate::TELEPHONE;
    const MS: u64 = 1_000_000;

    /// 10 ms at a time from `from_ms` on; what was lost in all.
    fn run(gaps: &mut Gaps, from_ms: u64, to_ms: u64) -> u64 {
        (from_ms..to_ms).step_by(10).map(|ms| gaps.observe(ms * MS, 80, false)).sum()
    }

    #[test]
    fn a_steady_stream_loses_nothing_though_its_clock_is_off_by_500_ppm() {
        let mut gaps = Gaps::new(RATE);
        assert_eq!((0..100_000).map(|n| gaps.observe(n * 10_005_000, 80, false)).sum::<u64>(), 0);
    }

    #[test]
    fn jitter_is_no_loss() {
        let mut gaps = Gaps::new(RATE);
        let lost: u64 = (0..10_000).map(|n: u64| gaps.observe((n * 10 + n * 7_919 % 60) * MS, 80, false)).sum();
        assert_eq!(lost, 0);
    }

    #[test]
    fn frames_that_come_late_but_all_are_no_loss() {
        let mut gaps = Gaps::new(RATE);
        run(&mut gaps, 0, 1_000);
        // Stalled for half a second; everything that waited comes within a few milliseconds.
        let burst: u64 = (0..50).map(|n| gaps.observe(1_500 * MS + n * 50_000, 80, false)).sum();
        assert_eq!(burst + run(&mut gaps, 1_510, 4_000), 0);
    }

    #[test]
    fn a_device_that_was_suspended_lost_what_it_did_not_deliver() {
        let mut gaps = Gaps::new(RATE);
        run(&mut gaps, 0, 1_000);
        // Silent from 1,000 to 2,500 ms: the callback at 2,500 ms brings what was captured in the 10 ms before.
        let lost = run(&mut gaps, 2_500, 5_000);
        assert_eq!(lost, 1_500 * 8);
        assert_eq!(run(&mut gaps, 5_000, 9_000), 0);
    }

    #[test]
    fn an_xrun_is_counted_by_time_stamps_at_once() {
        let mut gaps = Gaps::new(RATE);
        run(&mut gaps, 0, 1_000);
        assert_eq!(gaps.observe(1_040 * MS, 80, true), 40 * 8);
        assert_eq!(run(&mut gaps, 1_050, 3_000), 0);
    }

    #[test]
    fn an_xrun_that_lost_nothing_is_no_gap() {
        let mut gaps = Gaps::new(RATE);
        run(&mut gaps, 0, 1_000);
        assert_eq!(gaps.observe(1_000 * MS, 80, true), 0);
    }
}
