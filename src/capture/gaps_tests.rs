//! Streams whose losses are known: each frame that a device makes is delivered, waits or is lost.

use super::*;

const RATE: Rate = Rate::TELEPHONE;
const MS: u64 = 1_000_000;

/// 10 ms at a time from `from_ms` on; what was lost in all.
fn run(gaps: &mut Gaps, from_ms: u64, to_ms: u64) -> u64 {
    (from_ms..to_ms).step_by(10).map(|ms| gaps.observe(ms * MS, 80, None)).sum()
}

#[test]
fn a_steady_stream_loses_nothing_though_its_clock_is_off_by_500_ppm() {
    for period_ns in [9_995_000, 10_005_000] {
        let mut gaps = Gaps::new(RATE);
        assert_eq!((0..1_000_000).map(|n| gaps.observe(n * period_ns, 80, None)).sum::<u64>(), 0);
    }
}

#[test]
fn jitter_is_no_loss() {
    let mut gaps = Gaps::new(RATE);
    let lost: u64 = (0..10_000).map(|n: u64| gaps.observe((n * 10 + n * 7_919 % 60) * MS, 80, None)).sum();
    assert_eq!(lost, 0);
}

#[test]
fn frames_that_come_late_but_all_are_no_loss() {
    let mut gaps = Gaps::new(RATE);
    run(&mut gaps, 0, 1_000);
    // Stalled for half a second; everything that waited comes within a few milliseconds.
    let burst: u64 = (0..50).map(|n| gaps.observe(1_500 * MS + n * 50_000, 80, None)).sum();
    assert_eq!(burst + run(&mut gaps, 1_510, 4_000), 0);
}

#[test]
fn of_long_periods_a_few_that_are_late_by_the_same_are_no_loss_and_a_loss_is_known_within_a_second() {
    // On a bus that falls behind and catches up again, as an emulated one did: 200 ms at a time, by so many ms late.
    let late_ms =
        [0, 0, 229, 325, 258, 180, 222, 160, 12, 0, 30, 103, 334, 434, 447, 481, 474, 478, 300, 140, 30, 0, 0, 0, 0, 0];
    let mut gaps = Gaps::new(RATE);
    let at_ms = (0..).map(|n| n * 200).zip(late_ms).map(|(ms, late_ms)| ms + late_ms);
    assert_eq!(at_ms.map(|ms| gaps.observe(ms * MS, 200 * 8, None)).sum::<u64>(), 0);
    // Of the second from 5,000 ms on only what was captured last comes.
    let back: Vec<u64> = (30..35).map(|n| gaps.observe(n * 200 * MS, 200 * 8, None)).collect();
    assert_eq!(back, [0, 0, 0, 0, 800 * 8]);
}

#[test]
fn a_device_that_was_suspended_lost_what_it_did_not_deliver_and_it_is_known_within_300_ms() {
    let mut gaps = Gaps::new(RATE);
    run(&mut gaps, 0, 1_000);
    // Silent from 1,000 to 2,500 ms: the callback at 2,500 ms brings what was captured in the 10 ms before.
    let lost = run(&mut gaps, 2_500, 2_800);
    assert_eq!(lost, 1_500 * 8);
    assert_eq!(run(&mut gaps, 2_800, 9_000), 0);
}

#[test]
fn what_a_device_dropped_before_it_began_anew_is_counted_at_once() {
    let mut gaps = Gaps::new(RATE);
    run(&mut gaps, 0, 1_000);
    assert_eq!(gaps.observe(1_040 * MS, 80, Some(1_030 * MS)), 40 * 8);
    assert_eq!(run(&mut gaps, 1_050, 9_000), 0);
}

#[test]
fn a_callback_that_is_late_after_the_device_began_anew_adds_nothing_to_the_loss() {
    let mut gaps = Gaps::new(RATE);
    run(&mut gaps, 0, 1_000);
    // 20 ms are dropped, then nobody listens for 900 ms, then all of that comes.
    let lost = gaps.observe(1_910 * MS, 80, Some(1_010 * MS));
    let burst: u64 = (1..90).map(|n| gaps.observe(1_910 * MS + n * 50_000, 80, None)).sum();
    assert_eq!((lost, burst + run(&mut gaps, 1_920, 9_000)), (20 * 8, 0));
}

#[test]
fn beginning_anew_without_a_loss_is_no_gap() {
    let mut gaps = Gaps::new(RATE);
    run(&mut gaps, 0, 1_000);
    assert_eq!(gaps.observe(1_000 * MS, 80, Some(990 * MS)), 0);
}

#[test]
fn frames_that_were_told_lost_and_come_after_all_make_up_for_the_next_loss() {
    let mut gaps = Gaps::new(RATE);
    run(&mut gaps, 0, 1_000);
    assert_eq!(run(&mut gaps, 1_200, 3_000), 200 * 8);
    // Those 200 ms had waited somewhere: they come.
    gaps.observe(3_000 * MS, 80 + 200 * 8, None);
    run(&mut gaps, 3_010, 6_000);
    // 300 ms are lost: with those above, 300 ms in all.
    let lost = run(&mut gaps, 6_300, 9_000);
    assert!(lost.abs_diff(100 * 8) <= 5 * 8, "{lost}");
}

#[test]
fn what_is_owed_is_what_a_stream_that_ends_now_has_lost() {
    let mut gaps = Gaps::new(RATE);
    run(&mut gaps, 0, 1_000);
    assert_eq!((gaps.owed(), gaps.is_late()), (0, false));
    gaps.observe(1_100 * MS, 80, None);
    assert_eq!((gaps.owed(), gaps.is_late()), (100 * 8, true));
}

/// What happens to what a device makes.
#[derive(Clone, Copy, Debug)]
enum Weather {
    /// It comes.
    Fair,
    /// Each callback is up to so many milliseconds late.
    Jitter(u64),
    /// Nothing comes for up to so many milliseconds, then what waited.
    Stalls(u64),
    /// The same, and so many of each hundred periods are dropped on the way: a server whose buffer is full.
    Drops(u64, u64),
    /// Nothing is made.
    Suspended,
    /// The device drops what was not fetched for up to so many milliseconds, says so, and begins anew.
    Xruns(u64),
}

struct World {
    gaps: Gaps,
    rate: Rate,
    ppm: i64,
    seed: u64,
    now_ns: u64,
    made: u64,
    waiting: u64,
    lost: u64,
    told: u64,
}

impl World {
    fn new(hz: u32, ppm: i64, seed: u64) -> World {
        let rate = Rate::new(hz).unwrap();
        let seed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        World { gaps: Gaps::new(rate), rate, ppm, seed, now_ns: 0, made: 0, waiting: 0, lost: 0, told: 0 }
    }

    fn below(&mut self, most: u64) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed % most.max(1)
    }

    /// Time passes; what is made meanwhile waits, or is lost.
    fn pass(&mut self, ms: u64, lost: bool) {
        self.now_ns += ms * MS;
        let speed = u128::from(self.rate.hz()) * (1_000_000 + self.ppm) as u128;
        let made = (u128::from(self.now_ns) * speed / 1_000_000_000_000_000) as u64;
        let new = made - self.made;
        self.made = made;
        *(if lost { &mut self.lost } else { &mut self.waiting }) += new;
    }

    /// What waits comes, a period at a time.
    fn deliver(&mut self, anew_ns: Option<u64>) {
        let (mut anew_ns, period, until) = (anew_ns, self.rate.frames_in_ms(10), self.now_ns);
        let mut at = until;
        while self.waiting >= period {
            self.waiting -= period;
            self.told += self.gaps.observe(at, period as usize, anew_ns.take());
            at += 20_000;
        }
    }

    fn live(&mut self, weather: Weather, seconds: u64) {
        let until = self.now_ns + seconds * 1_000 * MS;
        while self.now_ns < until {
            match weather {
                Weather::Fair => {
                    self.pass(10, false);
                    self.deliver(None);
                }
                Weather::Jitter(most) | Weather::Stalls(most) => {
                    let ms = 10 + self.below(most);
                    self.pass(ms, false);
                    self.deliver(None);
                }
                Weather::Drops(most, percent) => {
                    let ms = 1 + self.below(most) / 10;
                    for _ in 0..ms {
                        let lost = self.below(100) < percent;
                        self.pass(10, lost);
                    }
                    self.deliver(None);
                }
                Weather::Suspended => self.pass(10, true),
                Weather::Xruns(most) => {
                    let ms = 10 + self.below(most);
                    self.pass(ms, false);
                    self.lost += std::mem::take(&mut self.waiting);
                    let anew_ns = self.now_ns;
                    let ms = 10 + self.below(most);
                    self.pass(ms, false);
                    self.deliver(Some(anew_ns));
                    for _ in 0..20 {
                        self.pass(10, false);
                        self.deliver(None);
                    }
                }
            }
        }
    }

    /// By how many milliseconds too much was told.
    fn off_ms(&self) -> f64 {
        (self.told as f64 - self.lost as f64) * 1e3 / f64::from(self.rate.hz())
    }

    /// What was told may be off by little, and by what a clock and losses can be taken for each other.
    fn bound_ms(&self) -> f64 {
        f64::from(LITTLE_MS) + self.now_ns as f64 / 1e6 * DRIFT_PPM as f64 / 1e6
    }
}

#[test]
fn many_losses_that_are_small_are_counted_though_no_callback_is_late() {
    for percent in [1, 5, 30] {
        let mut world = World::new(48_000, 0, percent);
        world.live(Weather::Fair, 10);
        world.live(Weather::Drops(10, percent), 60);
        world.live(Weather::Fair, 10);
        assert!(world.lost > 9_600, "{}", world.lost);
        let off = world.off_ms();
        assert!((-world.bound_ms()..=1.0).contains(&off), "{percent} %: {off} ms off of {} frames", world.lost);
    }
}

#[test]
fn starvation_without_a_loss_is_no_loss_for_hours() {
    for (seed, ppm) in [(1, 0), (2, -500), (3, 500)] {
        let mut world = World::new(8_000, ppm, seed);
        for _ in 0..200 {
            world.live(Weather::Fair, 20);
            world.live(Weather::Jitter(60), 20);
            world.live(Weather::Stalls(400), 10);
        }
        assert_eq!(world.told, 0, "{ppm} ppm");
    }
}

#[test]
fn whatever_comes_the_sum_of_what_was_told_is_what_was_lost() {
    for seed in 0..60 {
        let ppm = [-500, -40, 0, 40, 500][seed as usize % 5];
        let mut world = World::new([8_000, 44_100, 48_000][seed as usize % 3], ppm, seed);
        world.live(Weather::Fair, 5);
        for _ in 0..60 {
            let seconds = 1 + world.below(15);
            let weather = match world.below(6) {
                0 => Weather::Fair,
                1 => Weather::Jitter(60),
                2 => Weather::Stalls(300),
                3 => Weather::Drops(200, 20),
                4 => Weather::Suspended,
                _ => Weather::Xruns(100),
            };
            world.live(weather, seconds);
            // Never too much, whenever one looks; too little only while it is not known yet.
            assert!(world.off_ms() <= world.bound_ms(), "{seed}: {} ms too much after {weather:?}", world.off_ms());
        }
        world.live(Weather::Fair, 8);
        let (off, bound) = (world.off_ms(), world.bound_ms());
        assert!(off.abs() <= bound, "{seed}: {off} ms off, {bound} allowed, after {} s", world.now_ns / 1_000 / MS);
    }
}

#[test]
fn counting_allocates_nothing() {
    let counted = allocation_counter::measure(|| {
        let mut world = World::new(48_000, 0, 1);
        world.live(Weather::Drops(200, 20), 30);
    });
    assert_eq!(counted.count_total, 0);
}
