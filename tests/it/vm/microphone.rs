//! A USB microphone made of bytes: what a full-speed device of USB Audio 1.0 says, by USB/IP, to the kernel's `vhci-hcd`. The
//! kernel takes it for one that is plugged in: `snd-usb-audio` and ALSA above it are the real ones.
//!
//! Not by `usb_f_uac2` and `dummy_hcd`: that host controller has no isochronous transfers, in which USB carries sound.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};

use crate::device::{nap, noise_from, now};

pub const HZ: u32 = 48_000;
/// A packet of full-speed USB is a millisecond.
const FRAMES_PER_PACKET: usize = HZ as usize / 1_000;
const PACKET_BYTES: usize = FRAMES_PER_PACKET * 2;

const HUB: &str = "/sys/devices/platform/vhci_hcd.0/attach";
/// `USB_SPEED_FULL` of the kernel.
const FULL_SPEED: u32 = 2;
/// Of a device, to USB/IP: its bus and its number there, which mean nothing here.
const DEVICE: u32 = 0x1_0002;

const CMD_SUBMIT: u32 = 1;
const CMD_UNLINK: u32 = 2;
const RET_SUBMIT: u32 = 3;
const RET_UNLINK: u32 = 4;
/// The endpoint stalls: it does not know such a request.
const EPIPE: i32 = 32;
const ECONNRESET: i32 = 104;

const DEVICE_DESCRIPTOR: [u8; 18] = [
    18, 1, 0x10, 0x01, 0, 0, 0, 64, // USB 1.1, packets of 64 bytes at endpoint 0
    0x09, 0x12, 0x01, 0x00, 0x00, 0x01, // vendor 1209, product 0001 (pid.codes' for tests), 1.0
    1, 2, 3, // strings: manufacturer, product, serial number
    1,
];
const VENDOR: &str = "tonearm's tests";
const PRODUCT: &str = "Test Microphone";
/// The configuration with all that belongs to it: one input, 16 bits, mono, 48 kHz.
const CONFIGURATION: [&[u8]; 11] = [
    &[9, 2, 100, 0, 2, 1, 0, 0x80, 50],
    // audio control: a microphone leads to the bus
    &[9, 4, 0, 0, 0, 1, 1, 0, 0],
    &[9, 0x24, 1, 0x00, 0x01, 30, 0, 1, 1],
    &[12, 0x24, 2, 1, 0x01, 0x02, 0, 1, 0, 0, 0, 0],
    &[9, 0x24, 3, 2, 0x01, 0x01, 0, 1, 0],
    // audio streaming: nothing, or PCM
    &[9, 4, 1, 0, 0, 1, 2, 0, 0],
    &[9, 4, 1, 1, 1, 1, 2, 0, 0],
    &[7, 0x24, 1, 2, 1, 0x01, 0x00],
    &[11, 0x24, 2, 1, 1, 2, 16, 1, 0x80, 0xBB, 0x00],
    // an isochronous, asynchronous endpoint, every millisecond up to 98 bytes, whose rate can be set
    &[9, 5, 0x81, 0x05, 98, 0, 1, 0, 0],
    &[7, 0x25, 1, 0x01, 0, 0, 0],
];

/// One that is plugged in.
pub struct Microphone {
    serial: String,
    cable: UnixStream,
    made: Arc<Mutex<Vec<i16>>>,
}

impl Microphone {
    /// Plugs it into this port of the virtual hub, and waits until it is a card. It makes noise, by `seed`.
    pub fn plug(port: u32, serial: &str, seed: u32) -> Microphone {
        super::sh("modprobe -a vhci-hcd snd-usb-audio");
        let (cable, end) = UnixStream::pair().unwrap();
        super::write(HUB, &format!("{port} {} {DEVICE} {FULL_SPEED}", end.as_raw_fd()));
        let (made, commands) = (Arc::new(Mutex::new(Vec::new())), unbounded());
        let reading = cable.try_clone().unwrap();
        std::thread::spawn(move || forward(reading, &commands.0));
        let inside = Inside {
            serial: serial.to_owned(),
            cable: cable.try_clone().unwrap(),
            noise: Box::new(noise_from(seed)),
            made: Arc::clone(&made),
            began: None,
            is_heard: false,
            waiting: VecDeque::new(),
        };
        std::thread::spawn(move || inside.live(&commands.1));
        let microphone = Microphone { serial: serial.to_owned(), cable, made };
        wait(serial, || microphone.card().is_some());
        microphone
    }

    /// The card's id in ALSA, which goes by the product's name and by who came first.
    pub fn card(&self) -> Option<String> {
        let is_it = |card: &Path| {
            std::fs::read_to_string(card.join("device/../serial")).is_ok_and(|serial| serial.trim() == self.serial)
        };
        let cards = std::fs::read_dir("/sys/class/sound").unwrap().flatten().map(|entry| entry.path());
        let card = cards.filter(|card| is_it(card)).find_map(|card| std::fs::read_to_string(card.join("id")).ok())?;
        Some(card.trim().to_owned())
    }

    /// Its sound since someone listened for the first time. One who does not listen misses what would have been heard. One who
    /// listens but comes late does not: that is kind to an emulated machine, which falls behind by half a second now and then.
    /// A real microphone delays nothing, so what comes so late is counted as lost: such a gap is one at which nothing is missing.
    pub fn made(&self) -> Vec<i16> {
        self.made.lock().unwrap().clone()
    }

    /// Pulls it out, and waits until it is no card any more: what it has made.
    pub fn unplug(self) -> Vec<i16> {
        self.cable.shutdown(Shutdown::Both).unwrap();
        wait(&self.serial, || self.card().is_none());
        self.made()
    }
}

/// The next test begins with none.
impl Drop for Microphone {
    fn drop(&mut self) {
        let _ = self.cable.shutdown(Shutdown::Both);
    }
}

fn wait(serial: &str, mut until: impl FnMut() -> bool) {
    let began = now();
    while !until() {
        assert!(began.elapsed() < Duration::from_secs(30), "{serial}: {}", super::sh("dmesg | tail -20"));
        nap();
    }
}

/// What the host asks for.
enum Command {
    Submit(Submit),
    Unlink { number: u32, submitted: u32 },
}

struct Submit {
    number: u32,
    endpoint: u32,
    setup: [u8; 8],
    /// Where each packet's bytes begin, and how many there may be.
    packets: Vec<[u32; 2]>,
    /// How many bytes there may be of all.
    length: usize,
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn command(cable: &mut impl Read) -> io::Result<Command> {
    let mut header = [0; 48];
    cable.read_exact(&mut header)?;
    let (number, goes_out) = (word(&header, 4), word(&header, 12) == 0);
    match word(&header, 0) {
        CMD_SUBMIT => {
            let length = word(&header, 24) as usize;
            // Who has no packets says 0 or -1.
            let packets = usize::try_from(word(&header, 32) as i32).unwrap_or(0);
            cable.read_exact(&mut vec![0; if goes_out { length } else { 0 }])?;
            let mut descriptors = vec![0; packets * 16];
            cable.read_exact(&mut descriptors)?;
            let packets = descriptors.chunks(16).map(|packet| [word(packet, 0), word(packet, 4)]).collect();
            let setup = header[40..].try_into().unwrap();
            Ok(Command::Submit(Submit { number, endpoint: word(&header, 16), setup, packets, length }))
        }
        CMD_UNLINK => Ok(Command::Unlink { number, submitted: word(&header, 20) }),
        other => panic!("USB/IP has no command {other}"),
    }
}

/// Until the cable is pulled.
fn forward(mut cable: UnixStream, commands: &Sender<Command>) {
    while let Ok(command) = command(&mut cable) {
        if commands.send(command).is_err() {
            return;
        }
    }
}

struct Inside {
    serial: String,
    cable: UnixStream,
    noise: Box<dyn Iterator<Item = i16> + Send>,
    made: Arc<Mutex<Vec<i16>>>,
    /// When someone listened for the first time.
    began: Option<Instant>,
    is_heard: bool,
    /// Who waits for sound that has not been yet.
    waiting: VecDeque<Submit>,
}

impl Inside {
    fn live(mut self, commands: &Receiver<Command>) {
        loop {
            let due = self.waiting.front().map(|first| self.time(first.packets.len()));
            let command = match due {
                Some(due) => commands.recv_deadline(due),
                None => commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let answered = match command {
                Ok(Command::Submit(submit)) if submit.endpoint == 0 => self.control(&submit),
                Ok(Command::Submit(submit)) => {
                    self.listen();
                    self.waiting.push_back(submit);
                    Ok(())
                }
                Ok(Command::Unlink { number, submitted }) => {
                    let before = self.waiting.len();
                    self.waiting.retain(|submit| submit.number != submitted);
                    self.is_heard = !self.waiting.is_empty();
                    let status = if self.waiting.len() < before { -ECONNRESET } else { 0 };
                    self.answer(&[RET_UNLINK, number, 0, 0, 0, status as u32], &[], &[])
                }
                Err(RecvTimeoutError::Timeout) => self.sound(),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            // The cable is out.
            if answered.is_err() {
                return;
            }
        }
    }

    /// When that many ms more will have been made.
    fn time(&self, more_ms: usize) -> Instant {
        let made_ms = self.made.lock().unwrap().len() / FRAMES_PER_PACKET;
        self.began.unwrap_or_else(now) + Duration::from_millis((made_ms + more_ms) as u64)
    }

    fn make(&mut self, ms: usize) -> Vec<i16> {
        let samples: Vec<i16> = self.noise.by_ref().take(ms * FRAMES_PER_PACKET).collect();
        self.made.lock().unwrap().extend(&samples);
        samples
    }

    /// Someone listens, to what it makes from now on.
    fn listen(&mut self) {
        let now = now();
        self.began.get_or_insert(now);
        if !std::mem::replace(&mut self.is_heard, true) {
            self.make(now.saturating_duration_since(self.time(0)).as_millis() as usize);
        }
    }

    fn answer(&mut self, words: &[u32], data: &[u8], packets: &[u32]) -> io::Result<()> {
        let mut message: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        message.resize(48, 0);
        message.extend(data);
        message.extend(packets.iter().flat_map(|word| word.to_be_bytes()));
        self.cable.write_all(&message)
    }

    /// Endpoint 0: what it is, and settings, of which it has but one each.
    fn control(&mut self, submit: &Submit) -> io::Result<()> {
        let [kind, request, index, what, ..] = submit.setup;
        let data = match (kind, request) {
            (0x80, 6) => self.descriptor(what, index),
            // SET_CONFIGURATION, SET_INTERFACE, CLEAR_FEATURE of the endpoint, its sampling frequency
            (0x00, 9) | (0x01, 11) | (0x02, 1) | (0x22, 1) => Some(Vec::new()),
            (0xA2, 0x81) => Some(HZ.to_le_bytes()[..3].to_vec()),
            _ => None,
        };
        let (status, data) = data.map_or((-EPIPE, Vec::new()), |data| (0, data));
        let data = &data[..data.len().min(submit.length)];
        // What goes out has arrived as a whole.
        let actual = if kind & 0x80 == 0 { submit.length } else { data.len() };
        self.answer(&[RET_SUBMIT, submit.number, 0, 0, 0, status as u32, actual as u32], data, &[])
    }

    fn descriptor(&self, what: u8, index: u8) -> Option<Vec<u8>> {
        let string = match (what, index) {
            (1, 0) => return Some(DEVICE_DESCRIPTOR.to_vec()),
            (2, 0) => return Some(CONFIGURATION.concat()),
            // English
            (3, 0) => return Some(vec![4, 3, 0x09, 0x04]),
            (3, 1) => VENDOR,
            (3, 2) => PRODUCT,
            (3, 3) => &self.serial,
            _ => return None,
        };
        let text: Vec<u8> = string.encode_utf16().flat_map(u16::to_le_bytes).collect();
        Some([&[text.len() as u8 + 2, 3], &text[..]].concat())
    }

    /// Sends the sound that the first one waits for.
    fn sound(&mut self) -> io::Result<()> {
        let Some(submit) = self.waiting.pop_front() else { return Ok(()) };
        let packets = submit.packets.len();
        let samples = self.make(packets);
        let data: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let each: Vec<u32> =
            submit.packets.iter().flat_map(|[at, most]| [*at, *most, PACKET_BYTES as u32, 0]).collect();
        let words = [RET_SUBMIT, submit.number, 0, 0, 0, 0, data.len() as u32, 0, packets as u32];
        self.answer(&words, &data, &each)
    }
}
