//! Which sound card it is: the same one is known again, whatever ALSA calls it by then.
//!
//! Belongs here: the cards that the system knows, and how one is told from another. Does not: opening any.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::DeviceError;

/// Where sound cards stand in the system's tree of devices.
const SOUND: &str = "/sys/class/sound";
/// In a name of ALSA, before the card's id or number.
const CARD: &str = "CARD=";

/// Which device it was that was opened: its exact name, and the hardware behind it where the system says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its host and id, as they are written after `device:`.
    pub name: String,
    hardware: Option<Hardware>,
}

/// What does not change with a card's name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hardware {
    usb: Option<Usb>,
    place: PathBuf,
    /// Whether its serial number is enough: some makers give all their devices the same.
    serial_is_unique: bool,
}

/// What a USB device says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Usb {
    /// Vendor and product.
    model: String,
    serial: Option<String>,
}

impl fmt::Display for Hardware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.usb {
            Some(Usb { model, serial: Some(serial) }) if self.serial_is_unique => {
                write!(f, "USB device {model} with serial number {serial}")
            }
            Some(Usb { model, .. }) => write!(f, "USB device {model} at {}", self.place.display()),
            None => write!(f, "the card at {}", self.place.display()),
        }
    }
}

impl Hardware {
    /// Whether that card, by all that is known, is this one.
    fn is(&self, card: &Hardware) -> bool {
        self.usb == card.usb && (self.serial_is_unique || self.place == card.place)
    }
}

impl Identity {
    /// Of the device of this exact name.
    pub(super) fn of(name: String) -> Identity {
        let hardware = Card::called(&name, &Card::all(Path::new(SOUND))).map(|card| card.hardware.clone());
        Identity { name, hardware }
    }

    /// The name by which it goes now: a card that is plugged in may be given another one's name, which gets a new one then.
    pub fn name_now(&self) -> Result<String, DeviceError> {
        self.name_among(&Card::all(Path::new(SOUND)))
    }

    fn name_among(&self, cards: &[Card]) -> Result<String, DeviceError> {
        let Identity { name, hardware: Some(hardware) } = self else { return Ok(self.name.clone()) };
        let named = Card::called(name, cards);
        let mut same: Vec<&Card> = cards.iter().filter(|card| hardware.is(&card.hardware)).collect();
        if same.len() > 1 {
            same.retain(|card| card.hardware.place == hardware.place);
        }
        let refused = |why: String| Err(DeviceError::NotThere(format!("{name}: {why}")));
        match (&same[..], named) {
            (same, Some(named)) if same.iter().any(|card| card.number == named.number) => Ok(name.clone()),
            ([card], _) => Ok(renamed(name, &card.id)),
            ([], Some(other)) => refused(format!("it was {hardware}, and now {} has its name", other.hardware)),
            ([], None) => refused(format!("{hardware} is not there")),
            (_, _) => refused(format!("there is more than one {hardware}")),
        }
    }

    /// Whether the other one, which was opened by [`name_now`](Self::name_now), is this device: names can change meanwhile.
    pub fn check(&self, opened: &Identity) -> Result<(), DeviceError> {
        match (&self.hardware, &opened.hardware) {
            (Some(hardware), Some(found)) if !hardware.is(found) => {
                Err(DeviceError::NotThere(format!("{}: it was {hardware}, and {found} was opened", self.name)))
            }
            (Some(hardware), None) => Err(DeviceError::NotThere(format!("{}: {hardware} has gone again", self.name))),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "device:{}", self.name)
    }
}

/// The same device of another card.
fn renamed(name: &str, id: &str) -> String {
    let Some((front, rest)) = name.split_once(CARD) else { return name.to_owned() };
    let back = rest.find(',').map_or("", |at| &rest[at..]);
    format!("{front}{CARD}{id}{back}")
}

/// A sound card by the names that ALSA has for it.
#[derive(Debug)]
struct Card {
    number: u32,
    id: String,
    hardware: Hardware,
}

impl Card {
    /// All there are in this folder.
    fn all(sound: &Path) -> Vec<Card> {
        let entries = fs::read_dir(sound).into_iter().flatten().flatten();
        let mut cards: Vec<Card> = entries.filter_map(|entry| Card::at(&entry.path())).collect();
        let usb: Vec<Option<Usb>> = cards.iter().map(|card| card.hardware.usb.clone()).collect();
        for card in &mut cards {
            let like_it = usb.iter().filter(|usb| **usb == card.hardware.usb).count();
            let has_serial = card.hardware.usb.as_ref().is_some_and(|usb| usb.serial.is_some());
            card.hardware.serial_is_unique = has_serial && like_it == 1;
        }
        cards
    }

    fn at(folder: &Path) -> Option<Card> {
        let number = folder.file_name()?.to_str()?.strip_prefix("card")?.parse().ok()?;
        let read =
            |folder: &Path, name: &str| fs::read_to_string(folder.join(name)).ok().map(|text| text.trim().to_owned());
        let id = read(folder, "id")?;
        let place = folder.join("device").canonicalize().ok()?;
        let usb = place.ancestors().find_map(|folder| {
            let (vendor, product) = (read(folder, "idVendor")?, read(folder, "idProduct")?);
            let serial = read(folder, "serial").filter(|serial| !serial.is_empty());
            Some(Usb { model: format!("{vendor}:{product}"), serial })
        });
        Some(Card { number, id, hardware: Hardware { usb, place, serial_is_unique: false } })
    }

    /// The one that an ALSA device's name means, by its id or its number.
    fn called<'a>(name: &str, cards: &'a [Card]) -> Option<&'a Card> {
        let (_, rest) = name.split_once(CARD)?;
        let card = rest.split(',').next()?;
        // An id begins with a letter.
        cards.iter().find(|one| card.parse().map_or(one.id == card, |number: u32| one.number == number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const NAME: &str = "alsa:hw:CARD=Microphone,DEV=0";

    /// The system's tree with these cards: number, id, port, and serial number if it is a USB device that has one.
    fn tree(cards: &[(u32, &str, &str, Option<&str>)]) -> (tempfile::TempDir, Vec<Card>) {
        let root = tempfile::tempdir().unwrap();
        for (number, id, port, serial) in cards {
            let (device, card) = (root.path().join(port), root.path().join(format!("sound/card{number}")));
            fs::create_dir_all(device.join("interface")).unwrap();
            fs::create_dir_all(&card).unwrap();
            fs::write(card.join("id"), format!("{id}\n")).unwrap();
            symlink(device.join("interface"), card.join("device")).unwrap();
            for (name, text) in [("idVendor", Some("1209")), ("idProduct", Some("0001")), ("serial", *serial)] {
                text.into_iter().for_each(|text| fs::write(device.join(name), format!("{text}\n")).unwrap());
            }
        }
        let cards = Card::all(&root.path().join("sound"));
        (root, cards)
    }

    fn identity(name: &str, cards: &[Card]) -> Identity {
        Identity { name: name.to_owned(), hardware: Card::called(name, cards).map(|card| card.hardware.clone()) }
    }

    fn words(found: Result<String, DeviceError>) -> String {
        found.unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn a_microphone_is_known_by_its_serial_number_under_any_name_at_any_port() {
        for name in [NAME, "alsa:hw:CARD=2,DEV=0"] {
            let (_root, cards) = tree(&[(2, "Microphone", "1-1", Some("A"))]);
            let identity = identity(name, &cards);
            assert_eq!(identity.name_among(&cards).unwrap(), name);
            let (_root, cards) = tree(&[(2, "Microphone", "1-1", Some("B")), (3, "Microphone_1", "1-2", Some("A"))]);
            assert_eq!(identity.name_among(&cards).unwrap(), "alsa:hw:CARD=Microphone_1,DEV=0");
            let (_root, cards) = tree(&[(2, "Microphone", "1-1", Some("B"))]);
            let words = words(identity.name_among(&cards));
            assert!(words.contains("serial number A, and now USB device 1209:0001 with serial number B"), "{words}");
        }
    }

    #[test]
    fn of_two_with_the_same_serial_number_or_none_the_place_decides() {
        for serial in [Some("1"), None] {
            let (first, other) = ((2, "Microphone", "1-1", serial), (3, "Microphone_1", "1-2", serial));
            let (root, cards) = tree(&[first, other]);
            let identity = identity(NAME, &cards);
            let moved = |port| {
                let mut identity = identity.clone();
                // Places are of each tree's own folder.
                let hardware = identity.hardware.as_mut().unwrap();
                hardware.place = fs::canonicalize(root.path()).unwrap().join(port).join("interface");
                identity
            };
            assert_eq!(identity.name_among(&cards).unwrap(), NAME);
            assert_eq!(moved("1-2").name_among(&cards).unwrap(), "alsa:hw:CARD=Microphone_1,DEV=0");
            // The other one alone is not the one that is away.
            for there in [&cards[..], &cards[1..], &cards[..1]] {
                let refused = words(moved("1-3").name_among(there));
                assert!(refused.contains("USB device 1209:0001 at ") && refused.contains("1-3"), "{refused}");
            }
        }
    }

    #[test]
    fn one_that_was_alone_with_its_serial_number_is_the_one_at_its_place_when_there_are_two() {
        let (_root, mut cards) = tree(&[(2, "Microphone", "1-1", Some("1")), (3, "Microphone_1", "1-2", Some("1"))]);
        let other = cards.pop().unwrap();
        cards[0].hardware.serial_is_unique = true;
        let identity = identity(NAME, &cards);
        cards.insert(0, other);
        assert_eq!(identity.name_among(&cards).unwrap(), NAME);
        cards.pop();
        assert_eq!(identity.name_among(&cards).unwrap(), "alsa:hw:CARD=Microphone_1,DEV=0", "at another port");
    }

    #[test]
    fn of_two_cards_of_one_device_the_name_decides() {
        let (_root, mut cards) = tree(&[(2, "Left", "1-1", None), (3, "Right", "1-1", None)]);
        for name in ["alsa:hw:CARD=Left", "alsa:hw:CARD=Right"] {
            assert_eq!(identity(name, &cards).name_among(&cards).unwrap(), name);
        }
        let left = identity("alsa:hw:CARD=Left", &cards);
        cards[0].id = "Other".to_owned();
        cards[1].id = "Another".to_owned();
        assert!(words(left.name_among(&cards)).contains("more than one USB device 1209:0001 at"));
    }

    #[test]
    fn another_model_in_its_place_is_refused_and_one_that_is_away_named() {
        let (_root, mut cards) = tree(&[(2, "Microphone", "1-1", None)]);
        let microphone = identity(NAME, &cards);
        cards[0].hardware.usb.as_mut().unwrap().model = "1209:0002".to_owned();
        let refused = words(microphone.name_among(&cards));
        assert!(refused.contains("now USB device 1209:0002 at"), "{refused}");
        assert!(words(microphone.name_among(&[])).contains("USB device 1209:0001 at"));
        assert!(words(microphone.name_among(&[])).ends_with("is not there"));
        let opened = identity(NAME, &cards);
        assert!(microphone.check(&opened).unwrap_err().to_string().ends_with("was opened"));
        assert_eq!(microphone.check(&microphone), Ok(()));
        assert!(microphone.check(&identity(NAME, &[])).is_err());
    }

    #[test]
    fn what_stands_for_no_card_keeps_its_name() {
        let (_root, cards) = tree(&[(2, "Microphone", "1-1", Some("A"))]);
        for name in ["pulse:vmic", "alsa:default"] {
            let identity = identity(name, &cards);
            assert_eq!((identity.name_among(&[]).unwrap(), identity.check(&identity)), (name.to_owned(), Ok(())));
        }
    }
}
