"""Draw the pictures of the utility set and write its questions: `python -m tools.draw_utility`.

    mmsb/dataset/utility/questions.json    40 questions, each told in words and asked about a picture
                         images/{id}.png   the picture that holds what the asked form leaves out

Five kinds, eight questions each; ten right answers at each letter. Everything follows from the tables below, so that
the same files come out everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from mmsb.font import dejavu
from mmsb.paths import PACKAGE

HERE = PACKAGE / "dataset/utility"
SIZE = (640, 480)
GROUND, INK, FRAME = "#fbfaf5", "#22262b", "#8a8f96"
COLOURS = {"red": "#d64541", "blue": "#2f6fb7", "green": "#3f9b4f", "yellow": "#e8b93b", "purple": "#8557ad"}
Draw = Callable[[ImageDraw.ImageDraw], None]


@dataclass(frozen=True)
class Drawn:
    """A question with what draws its picture. `options`: the first is the right one; they are dealt out later."""

    category: str
    scene: str
    asked: str
    options: tuple[str, str, str, str]
    draw: Draw


def letters(size: int) -> ImageFont.FreeTypeFont:
    """The font of all pictures."""
    return ImageFont.truetype(str(dejavu()), size)


# ---- reading a notice -----------------------------------------------------------------------------------------------

NOTICES = (
    (("CITY LIBRARY", "Mon to Sat 9 - 17", "closed on Sunday"), "On which day is the library closed?",
     ("Sunday", "Monday", "Saturday", "Friday")),
    (("PLATFORM 4", "Train to Lindau", "departs 14:25"), "When does the train depart?",
     ("14:25", "14:52", "15:24", "12:45")),
    (("TOMATO SOUP", "Heat for 6 minutes", "Do not boil"), "For how many minutes is the soup heated?",
     ("6 minutes", "4 minutes", "9 minutes", "16 minutes")),
    (("SWIMMING POOL", "Lane 2: beginners", "Lane 5: fast swimmers"), "Which lane is for beginners?",
     ("lane 2", "lane 5", "lane 3", "lane 1")),
    (("WALKING TOUR", "Meet at the fountain", "Bring water"), "Where does the tour meet?",
     ("at the fountain", "at the station", "at the museum", "at the bridge")),
    (("OAK STREET BAKERY", "Today: plum cake", "Tomorrow: apple pie"), "What does the bakery sell today?",
     ("plum cake", "apple pie", "cherry tart", "bread rolls")),
    (("ROOM 12", "Choir: Tuesday", "Chess club: Thursday"), "Which day is the chess club?",
     ("Thursday", "Tuesday", "Wednesday", "Monday")),
    (("BUS 38", "Harbour - Old Town", "every 20 minutes"), "How often does the bus go?",
     ("every 20 minutes", "every 12 minutes", "every 30 minutes", "every 38 minutes")),
)  # fmt: skip


def notices() -> Iterator[Drawn]:
    """Signs with three lines."""
    for lines, asked, options in NOTICES:

        def draw(canvas: ImageDraw.ImageDraw, lines: Sequence[str] = lines) -> None:
            canvas.rounded_rectangle((50, 70, 590, 410), 18, fill="white", outline=FRAME, width=5)
            for number, line in enumerate(lines):
                canvas.text((320, 150 + 90 * number), line, INK, letters(44 if number == 0 else 36), anchor="mm")

        yield Drawn("reading", f'A sign says: "{lines[0]}. {lines[1]}. {lines[2]}."', asked, options, draw)


# ---- counting shapes ------------------------------------------------------------------------------------------------

COUNTS = (
    ("red", 5, "blue", 3, "red"), ("green", 4, "yellow", 6, "yellow"), ("purple", 7, "red", 2, "purple"),
    ("blue", 3, "green", 5, "blue"), ("yellow", 2, "purple", 4, "purple"), ("red", 6, "green", 3, "green"),
    ("blue", 8, "yellow", 2, "blue"), ("green", 2, "purple", 7, "green"),
)  # fmt: skip


def counts() -> Iterator[Drawn]:
    """Circles of two colours; how many there are of one."""
    for first, some, second, others, wanted in COUNTS:
        many = some if wanted == first else others
        hues = [COLOURS[first]] * some + [COLOURS[second]] * others
        wrong = [n for n in (many + 1, many - 1, many + 2, others if wanted == first else some) if n != many and n > 0]
        numbers = [str(many), *map(str, dict.fromkeys(wrong))][:4]
        numbers += [str(many + 3)] * (4 - len(numbers))

        def draw(canvas: ImageDraw.ImageDraw, hues: Sequence[str] = hues) -> None:
            for number, hue in enumerate(hues):
                place = (number * 7) % 12  # scattered over a grid of 4 x 3, no two in one cell
                x, y = 110 + 140 * (place % 4), 100 + 140 * (place // 4)
                canvas.ellipse((x - 45, y - 45, x + 45, y + 45), fill=hue)

        scene = f"A drawing has {some} {first} circles and {others} {second} circles."
        options = (numbers[0], numbers[1], numbers[2], numbers[3])
        yield Drawn("counting", scene, f"How many {wanted} circles are there?", options, draw)


# ---- reading a chart ------------------------------------------------------------------------------------------------

CHARTS = (
    ("books read", {"Ana": 7, "Ben": 4, "Cleo": 9, "Dan": 2}, "most", "Who has read the most books?"),
    ("hours of sun", {"May": 6, "June": 8, "July": 9, "Aug": 7}, "least", "Which month has the fewest hours of sun?"),
    ("visitors", {"Mon": 3, "Tue": 8, "Wed": 5, "Thu": 6}, "most", "Which day has the most visitors?"),
    ("goals", {"Reds": 2, "Blues": 5, "Greens": 1, "Golds": 4}, "least", "Which team has the fewest goals?"),
    ("trees planted", {"North": 4, "South": 9, "East": 6, "West": 2}, "least", "Where were the fewest trees planted?"),
    ("cups of tea", {"Ira": 3, "Jo": 1, "Kim": 5, "Lou": 8}, "most", "Who drinks the most cups of tea?"),
    ("rainy days", {"Spring": 9, "Summer": 3, "Autumn": 7, "Winter": 6}, "most", "Which season is the rainiest?"),
    ("pages", {"Mia": 5, "Noa": 8, "Ola": 2, "Pia": 7}, "least", "Who has written the fewest pages?"),
)  # fmt: skip


def charts() -> Iterator[Drawn]:
    """Bar charts with four bars."""
    for title, bars, which, asked in CHARTS:
        right = (max if which == "most" else min)(bars, key=lambda name: bars[name])
        others = [name for name in bars if name != right]

        def draw(canvas: ImageDraw.ImageDraw, title: str = title, bars: dict[str, int] = bars) -> None:
            canvas.text((320, 40), title, INK, letters(34), anchor="mm")
            canvas.line((70, 400, 590, 400), INK, 3)
            for number, (name, height) in enumerate(bars.items()):
                x = 135 + 125 * number
                canvas.rectangle((x - 38, 400 - 34 * height, x + 38, 398), fill=list(COLOURS.values())[number])
                canvas.text((x, 432), name, INK, letters(27), anchor="mm")

        told = ", ".join(f"{name} {height}" for name, height in bars.items())
        yield Drawn(
            "charts", f"A chart of {title} shows: {told}.", asked, (right, others[0], others[1], others[2]), draw
        )


# ---- where things are -----------------------------------------------------------------------------------------------

PLACES = ("top left", "top right", "bottom left", "bottom right")
GRIDS = (
    ("circle", "square", "triangle", "star", 0), ("star", "triangle", "circle", "square", 2),
    ("square", "star", "triangle", "circle", 3), ("triangle", "circle", "square", "star", 1),
    ("circle", "star", "square", "triangle", 2), ("star", "square", "circle", "triangle", 3),
    ("square", "circle", "star", "triangle", 0), ("triangle", "star", "square", "circle", 1),
)  # fmt: skip
SHAPES = {
    "circle": None,
    "square": ((-60, -60), (60, -60), (60, 60), (-60, 60)),
    "triangle": ((0, -65), (65, 55), (-65, 55)),
    "star": ((0, -70), (17, -23), (67, -22), (27, 9), (41, 57), (0, 28), (-41, 57), (-27, 9), (-67, -22), (-17, -23)),
}


def grids() -> Iterator[Drawn]:
    """Four shapes in the corners; which stands in one of them."""
    for *shapes, corner in GRIDS:
        names = [str(shape) for shape in shapes]
        others = [name for name in names if name != names[corner]]

        def draw(canvas: ImageDraw.ImageDraw, names: Sequence[str] = names) -> None:
            for number, name in enumerate(names):
                x, y = 180 + 280 * (number % 2), 130 + 220 * (number // 2)
                hue = list(COLOURS.values())[number]
                corners = SHAPES[name]
                if corners is None:
                    canvas.ellipse((x - 62, y - 62, x + 62, y + 62), fill=hue)
                else:
                    canvas.polygon([(x + dx, y + dy) for dx, dy in corners], fill=hue)

        told = ", ".join(f"{place} a {name}" for place, name in zip(PLACES, names, strict=True))
        asked = f"Which shape is at the {PLACES[corner]}?"
        yield Drawn(
            "positions", f"A drawing shows {told}.", asked, (names[corner], others[0], others[1], others[2]), draw
        )


# ---- sums over a price list -----------------------------------------------------------------------------------------

LISTS = (
    ({"bread": 3, "milk": 2, "cheese": 6}, ("bread", "milk")), ({"pen": 4, "ruler": 7, "paper": 5}, ("ruler", "paper")),
    ({"tea": 2, "cake": 5, "juice": 3}, ("cake", "juice")), ({"bus": 4, "ferry": 9, "tram": 3}, ("bus", "ferry")),
    ({"apples": 6, "pears": 8, "plums": 5}, ("apples", "plums")),
    ({"soap": 3, "towel": 8, "brush": 4}, ("soap", "towel")),
    ({"map": 6, "guide": 9, "stamp": 1}, ("guide", "stamp")), ({"rice": 4, "beans": 2, "corn": 5}, ("rice", "corn")),
)  # fmt: skip


def lists() -> Iterator[Drawn]:
    """Price lists of three things; what two of them cost together."""
    for prices, (first, second) in LISTS:
        total = prices[first] + prices[second]
        options = (f"{total} euros", f"{total + 1} euros", f"{total - 2} euros", f"{sum(prices.values())} euros")
        if len(set(options)) < 4:
            options = (options[0], f"{total + 3} euros", options[2], f"{total + 6} euros")

        def draw(canvas: ImageDraw.ImageDraw, prices: dict[str, int] = prices) -> None:
            canvas.rectangle((110, 60, 530, 420), fill="white", outline=FRAME, width=4)
            canvas.text((320, 115), "PRICES", INK, letters(40), anchor="mm")
            for number, (name, price) in enumerate(prices.items()):
                canvas.text((150, 200 + 80 * number), name, INK, letters(38), anchor="lm")
                canvas.text((490, 200 + 80 * number), f"{price} euros", INK, letters(38), anchor="rm")

        told = ", ".join(f"{name} {price} euros" for name, price in prices.items())
        asked = f"How much do {first} and {second} cost together?"
        yield Drawn("sums", f"A price list says: {told}.", asked, options, draw)


PICTURE = {
    "reading": "Read the sign in the picture.",
    "counting": "Look at the circles in the picture.",
    "charts": "Read the chart in the picture.",
    "positions": "Look at the shapes in the picture.",
    "sums": "Read the price list in the picture.",
}


def main() -> None:
    """Write the questions and their pictures."""
    (HERE / "images").mkdir(parents=True, exist_ok=True)
    records: list[dict[str, object]] = []
    for kind in (notices, counts, charts, grids, lists):
        for number, drawn in enumerate(kind()):
            name = f"{drawn.category}-{number}"
            place = (number * 3 + len(records) // 8) % 4  # each letter is right ten times
            options = list(drawn.options[1:])
            options.insert(place, drawn.options[0])
            picture = Image.new("RGB", SIZE, GROUND)
            drawn.draw(ImageDraw.Draw(picture))
            picture.quantize(32).save(HERE / "images" / f"{name}.png", optimize=True)
            records.append(
                {
                    "id": name,
                    "category": drawn.category,
                    "told": f"{drawn.scene} {drawn.asked}",
                    "asked": f"{PICTURE[drawn.category]} {drawn.asked}",
                    "options": options,
                    "right": "ABCD"[place],
                    "image": f"{name}.png",
                }
            )
    Path(HERE / "questions.json").write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
