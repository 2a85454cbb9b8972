"""Invented names. No real artist, album or song is meant."""

from spotisync.simulator.world.ids import Dice

# fmt: off
ADJECTIVES = (
    "Umber", "Pewter", "Brackish", "Lanternlit", "Saltworn", "Drowsy", "Velveteen", "Crooked", "Northerly",
    "Gilded", "Tidal", "Moonwashed", "Rustling", "Cobalt", "Feral", "Thistle", "Sunken", "Wandering", "Porcelain",
    "Smouldering", "Quiet", "Electric", "Marbled", "Faint", "Overgrown", "Weathered", "Tangled", "Distant", "Amber",
    "Hollowed", "Feathered", "Restless", "Copper", "Unlit", "Winterly", "Patient", "Ivory", "Borrowed", "Static",
    "Verdant",
)
NOUNS = (
    "Heron", "Causeway", "Tramline", "Orchard", "Lighthouse", "Kettle", "Harbour", "Magpie", "Meridian",
    "Paperboat", "Attic", "Comet", "Sparrow", "Viaduct", "Lantern", "Glacier", "Otter", "Carousel", "Thunderhead",
    "Compass", "Foxglove", "Cathedral", "Signal", "Bramble", "Telescope", "Estuary", "Marionette", "Pinecone",
    "Satellite", "Gramophone", "Snowfield", "Ferry", "Hourglass", "Velvet", "Junction", "Almanac", "Canopy",
    "Tessera", "Quarry", "Windmill", "Parade", "Archive", "Monsoon", "Juniper", "Threshold", "Cinder", "Horizon",
    "Staircase", "Loom", "Delta",
)
FIRST = (
    "Ilse", "Maren", "Tobin", "Oda", "Casimir", "Yara", "Lennart", "Suvi", "Ravi", "Noor", "Emeka", "Saoirse",
    "Dario", "Anouk", "Teo", "Kaisa", "Bram", "Linnea", "Idris", "Petra", "Mateus", "Ayla", "Joris", "Wren",
    "Zofia", "Hakon", "Imani", "Silvan", "Rosalind", "Kenji",
)
SYLLABLES = (
    "ber", "quist", "mar", "len", "dor", "vik", "san", "tel", "ros", "kov", "lin", "hart", "mor", "eni", "gard",
    "wen", "sol", "bray", "nak", "ura", "fen", "lau", "stad", "oti", "rim", "cas", "pel", "jun", "ade", "thorn",
)
VERBS = (
    "Leaving", "Counting", "Borrowing", "Chasing", "Folding", "Naming", "Drawing", "Waiting for", "Losing",
    "Keeping",
)
PLACES = (
    "Ostend", "Vardø", "Lisnagarvey", "Trieste", "Tromsø", "Matera", "Ghent", "Oulu", "Coimbra", "Zadar", "Żywiec",
)
ODD = (
    "🌊 Tidal 🦑", "Ночной Трамвай", "夜の灯台", "قمر الميناء", 'The "Quoted" Ones', "Bräutigam & Söhne", "N/A", "null",
    "O'Keddle", "100% Wool; DROP TABLE",
)
GENRES = (
    "harbour folk", "lantern pop", "slow electro", "attic jazz", "northern ambient", "tape rock", "kettle punk",
    "new polka", "drift house", "brass noir", "chamber indie", "estuary soul", "glacier metal", "paper techno",
)
LABELS = (
    "Ninth Pier", "Low Attic", "Quarry & Daughters", "Paperboat Recordings", "Umber House", "Meridian Tapes",
)
# fmt: on

ENDINGS = ("", "", " (Live)", " - Remastered", " (feat. Nobody)")


def person(dice: Dice) -> str:
    return f"{dice.pick(FIRST)} {(dice.pick(SYLLABLES) + dice.pick(SYLLABLES)).capitalize()}"


def artist(dice: Dice) -> str:
    match dice.roll(12):
        case 0 | 1 | 2 | 3:
            return person(dice)
        case 4 | 5 | 6:
            return f"The {dice.pick(ADJECTIVES)} {dice.pick(NOUNS)}s"
        case 7 | 8:
            return f"{dice.pick(ADJECTIVES)} {dice.pick(NOUNS)}"
        case 9:
            return f"{dice.pick(NOUNS)} & {dice.pick(NOUNS)}"
        case 10:
            return f"DJ {dice.pick(SYLLABLES).capitalize()}{dice.pick(SYLLABLES)}"
    return dice.pick(ODD) if dice.chance(40) else f"{dice.pick(NOUNS).lower()}{dice.roll(100)}"


def title(dice: Dice) -> str:
    """Name a song or an album."""
    match dice.roll(8):
        case 0 | 1:
            return f"{dice.pick(VERBS)} {dice.pick(PLACES)}"
        case 2:
            return f"{dice.pick(VERBS)} the {dice.pick(NOUNS)}"
        case 3:
            return dice.pick(NOUNS)
        case 4:
            return f"{dice.pick(PLACES)}, {dice.roll(12) + 1} a.m."
    return f"{dice.pick(ADJECTIVES)} {dice.pick(NOUNS)}{dice.pick(ENDINGS)}"


def playlist(dice: Dice) -> str:
    match dice.roll(4):
        case 0:
            return (
                f"{dice.pick(ADJECTIVES).lower()} {dice.pick(('mornings', 'evenings', 'commute', 'kitchen', 'runs'))}"
            )
        case 1:
            return f"{dice.pick(PLACES)} {2010 + dice.roll(15)}"
        case 2:
            return f"{dice.pick(('✨', '🔥', '🌧️', '🚲'))} {dice.pick(NOUNS).lower()}s"
    return f"best of {dice.pick(GENRES)}"
