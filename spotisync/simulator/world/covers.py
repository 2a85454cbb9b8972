"""Pictures of albums, artists and playlists: a gradient and a few shapes, derived from the id."""

from spotisync.simulator.world.ids import LENGTH, SeededRandom

PATH = "/image/"
CACHED = {"cache-control": "public, max-age=86400"}
SIDE = 300


def draw(name: str) -> str:
    """Return the SVG document of a picture. Its name ends with the id; all sizes look the same."""
    rng = SeededRandom(f"cover:{name[-LENGTH:]}")
    hue = rng.randrange(360)
    other = hue + 30 + rng.randrange(120)
    stops = f'<stop stop-color="{_color(hue, 45)}"/><stop offset="1" stop-color="{_color(other, 30)}"/>'
    gradient = f'<linearGradient id="g" gradientTransform="rotate({rng.randrange(90)})">{stops}</linearGradient>'
    shapes = "".join(_shape(rng, hue + 180 if n else other) for n in range(2 + rng.randrange(3)))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{SIDE}" height="{SIDE}" viewBox="0 0 {SIDE} {SIDE}">'
        f'{gradient}<rect width="{SIDE}" height="{SIDE}" fill="url(#g)"/>{shapes}</svg>'
    )


def _shape(rng: SeededRandom, hue: int) -> str:
    x, y, size = rng.randrange(SIDE), rng.randrange(SIDE), 40 + rng.randrange(90)
    paint = f'"{_color(hue + rng.randrange(40), 60)}" opacity=".{4 + rng.randrange(5)}"'
    match rng.randrange(4):
        case 0:
            return f'<circle cx="{x}" cy="{y}" r="{size}" fill={paint}/>'
        case 1:
            return f'<circle cx="{x}" cy="{y}" r="{size}" fill="none" stroke-width="{size // 4}" stroke={paint}/>'
        case 2:
            return f'<rect y="{y}" width="{SIDE}" height="{size // 3}" fill={paint}/>'
    return f'<path d="M{x} {y - size}l{size} {2 * size}h-{2 * size}z" fill={paint}/>'


def _color(hue: int, lightness: int) -> str:
    return f"hsl({hue % 360} 55% {lightness}%)"
