"""Invented names of people, artists, songs and playlists."""

from spotisync.simulator.world.ids import SeededRandom

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


def person(rng: SeededRandom) -> str:
    return f"{rng.choice(FIRST)} {(rng.choice(SYLLABLES) + rng.choice(SYLLABLES)).capitalize()}"


def artist(rng: SeededRandom) -> str:
    match rng.randrange(12):
        case 0 | 1 | 2 | 3:
            return person(rng)
        case 4 | 5 | 6:
            return f"The {rng.choice(ADJECTIVES)} {rng.choice(NOUNS)}s"
        case 7 | 8:
            return f"{rng.choice(ADJECTIVES)} {rng.choice(NOUNS)}"
        case 9:
            return f"{rng.choice(NOUNS)} & {rng.choice(NOUNS)}"
        case 10:
            return f"DJ {rng.choice(SYLLABLES).capitalize()}{rng.choice(SYLLABLES)}"
    return rng.choice(ODD) if rng.chance(40) else f"{rng.choice(NOUNS).lower()}{rng.randrange(100)}"


def title(rng: SeededRandom) -> str:
    """Invent the name of a song or an album."""
    match rng.randrange(8):
        case 0 | 1:
            return f"{rng.choice(VERBS)} {rng.choice(PLACES)}"
        case 2:
            return f"{rng.choice(VERBS)} the {rng.choice(NOUNS)}"
        case 3:
            return rng.choice(NOUNS)
        case 4:
            return f"{rng.choice(PLACES)}, {rng.randrange(12) + 1} a.m."
    return f"{rng.choice(ADJECTIVES)} {rng.choice(NOUNS)}{rng.choice(ENDINGS)}"


def playlist(rng: SeededRandom) -> str:
    match rng.randrange(4):
        case 0:
            return (
                f"{rng.choice(ADJECTIVES).lower()} {rng.choice(('mornings', 'evenings', 'commute', 'kitchen', 'runs'))}"
            )
        case 1:
            return f"{rng.choice(PLACES)} {2010 + rng.randrange(15)}"
        case 2:
            return f"{rng.choice(('✨', '🔥', '🌧️', '🚲'))} {rng.choice(NOUNS).lower()}s"
    return f"best of {rng.choice(GENRES)}"
