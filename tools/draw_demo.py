"""Draw the pictures of the demo and of its benign twins: `python -m tools.draw_demo`.

The benchmark's own pictures come from a diffusion model and are not ours to ship. These are flat
drawings instead, one for each question, made of icons that the words of its key phrase call up:

    "bake sourdough bread"  ->  demo/imgs/01-Illegal_Activitiy/SD/0.jpg, a loaf among hills

A digest of the phrase settles the layout, so the same phrase gives the same picture everywhere.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from mmsb.digest import digest
from mmsb.paths import PACKAGE

HERE = PACKAGE / "dataset"
SETS = ("demo", "benign")
LABEL = "drawn for the mmsb demo"
SIDE = 1024  # pixels, as the benchmark's own pictures
FINE = 2  # drawn at twice the side, then reduced: smooth edges

COLOURS = {
    "ink": "#2f3542", "white": "#ffffff", "cream": "#fff1d6", "grey": "#a4b0be", "red": "#e55b5b",
    "orange": "#f0932b", "yellow": "#fbd85d", "gold": "#e1a93b", "green": "#58a65c", "teal": "#3aa6a0",
    "blue": "#4a7fc1", "sky": "#b9dcf2", "pink": "#f3a6bd", "purple": "#8e6bbf", "brown": "#96694c",
    "skin": "#f1c5a0", "shade": "#b4b3ba",
}  # fmt: skip
# One pair for each scenario, 01 to 13: the sky and the ground.
SCENES = (
    ("#dcefe3", "#a9d3b5"), ("#fde2d4", "#f2b79a"), ("#dfe6f7", "#aebde3"), ("#fdf0c8", "#ecd083"),
    ("#e3f1f6", "#a8d2e0"), ("#efe3f5", "#cbb0dd"), ("#fbe0e8", "#eeb1c5"), ("#e0ebfb", "#a9c6ee"),
    ("#ebeedd", "#c6cd9e"), ("#f0e7dc", "#d3bd9f"), ("#e4f3da", "#b5d799"), ("#dcf3f1", "#9fd6cf"),
    ("#eae7ee", "#bdb5cb"),
)  # fmt: skip
# Parts of an icon in a square of 100 x 100: a shape, a colour, the corners. A line has its width first.
ICONS = {
    "house": "poly red 50,8 95,48 5,48;rect cream 15,48 85,92;rect brown 42,60 58,92;rect sky 22,56 36,70",
    "book": "round blue 8,18 92,84;rect white 14,14 49,78;rect white 51,14 86,78;line3 grey 21,30 42,30;"
    "line3 grey 21,44 42,44;line3 grey 58,30 79,30;line3 grey 58,44 79,44",
    "phone": "round ink 28,5 72,95;rect sky 33,14 67,80;oval white 46,83 54,91",
    "coin": "oval gold 12,12 88,88;oval yellow 20,20 80,80;round gold 45,32 55,68",
    "bread": "oval brown 6,30 94,84;line4 cream 30,42 38,60;line4 cream 48,38 54,58;line4 cream 66,42 70,60",
    "car": "poly red 22,50 34,26 68,26 82,50;round red 4,46 96,74;poly sky 31,48 38,31 49,31 49,48;"
    "poly sky 53,48 53,31 65,31 74,48;oval ink 16,62 38,84;oval ink 62,62 84,84",
    "bus": "round orange 5,18 95,76;rect sky 12,27 32,47;rect sky 39,27 59,47;rect sky 66,27 88,47;"
    "oval ink 18,66 38,86;oval ink 62,66 82,86",
    "person": "oval skin 33,4 67,38;round teal 22,42 78,96;oval ink 41,17 45,22;oval ink 55,17 59,22;"
    "line2 ink 43,28 50,31 57,28",
    "people": "oval skin 12,14 38,40;round purple 4,44 46,96;oval skin 62,14 88,40;round orange 54,44 96,96",
    "ballot": "rect white 34,8 66,46;line4 green 41,24 48,32 59,15;round blue 12,42 88,92;rect ink 28,47 72,51",
    "pill": "line30 white 30,70 70,30;line30 red 58,42 72,28",
    "key": "oval gold 6,28 50,72;oval white 18,40 38,60;rect gold 46,44 94,56;rect gold 74,56 80,70;"
    "rect gold 86,56 92,66",
    "letter": "round white 8,22 92,80;line3 grey 12,28 50,56 88,28;oval red 44,50 56,62",
    "screen": "round ink 6,12 94,72;rect sky 11,18 89,66;rect ink 44,72 56,86;round ink 26,84 74,91;"
    "rect white 20,26 54,52;rect red 20,26 54,32",
    "flower": "line5 green 50,50 50,96;oval pink 36,6 64,34;oval pink 18,24 46,52;oval pink 54,24 82,52;"
    "oval pink 36,42 64,70;oval yellow 39,27 61,49",
    "tree": "rect brown 44,60 56,96;oval green 16,6 84,68",
    "leaf": "oval orange 24,10 76,78;line3 brown 50,24 50,96",
    "fish": "poly blue 66,50 96,26 96,74;oval blue 6,28 78,72;oval white 20,40 30,50",
    "ball": "oval white 10,10 90,90;poly ink 50,34 66,46 60,64 40,64 34,46;line3 ink 50,34 50,14;"
    "line3 ink 66,46 84,40;line3 ink 34,46 16,40",
    "cup": "oval red 58,40 94,74;oval white 67,49 85,65;round red 16,32 74,88;line3 grey 34,24 34,8;"
    "line3 grey 54,24 54,8",
    "clock": "oval red 8,8 92,92;oval white 17,17 83,83;line4 ink 50,50 50,27;line4 ink 50,50 66,58",
    "pillow": "round purple 4,26 96,80;round sky 10,32 90,74",
    "heart": "oval red 10,14 55,59;oval red 45,14 90,59;poly red 14,48 86,48 50,92",
    "star": "poly gold 50,5 61,38 96,38 68,59 79,93 50,72 21,93 32,59 4,38 39,38",
    "card": "round white 6,20 94,80;oval skin 16,30 38,52;round teal 14,54 40,70;line4 grey 50,38 84,38;"
    "line4 grey 50,54 76,54",
    "flag": "line5 brown 20,8 20,95;poly red 22,10 92,10 76,32 92,54 22,54",
    "scales": "line4 brown 50,12 50,88;line4 brown 16,26 84,26;poly gold 2,58 30,58 16,72;"
    "line2 brown 16,26 4,58;"
    "line2 brown 16,26 28,58;poly gold 70,58 98,58 84,72;line2 brown 84,26 72,58;line2 brown 84,26 96,58;"
    "round brown 32,86 68,94",
    "cat": "poly orange 20,8 46,34 18,52;poly orange 80,8 54,34 82,52;oval orange 14,22 86,90;"
    "oval ink 34,46 42,56;"
    "oval ink 58,46 66,56;poly pink 45,62 55,62 50,68",
    "bird": "line3 orange 40,76 40,94;line3 orange 52,76 52,94;oval blue 12,34 72,82;oval blue 50,14 84,48;"
    "poly orange 82,26 98,33 82,38;oval white 64,24 72,32",
    "pot": "line3 sky 38,24 38,8;line3 sky 60,24 60,8;round ink 4,46 96,56;round grey 14,38 86,88;"
    "round ink 18,32 82,41",
    "note": "oval purple 8,66 42,92;oval purple 54,58 88,84;line5 purple 39,78 39,20;"
    "line5 purple 85,70 85,12;"
    "line9 purple 40,20 84,12",
    "camera": "round ink 28,16 60,40;round ink 5,28 95,84;oval grey 30,34 72,76;oval sky 38,42 64,68;"
    "oval gold 78,35 86,43",
    "mask": "oval gold 14,8 86,92;oval white 26,32 44,48;oval white 56,32 74,48;line4 red 34,66 50,74 66,66",
    "shirt": "poly teal 30,12 70,12 96,32 84,50 74,42 74,92 26,92 26,42 16,50 4,32;oval white 40,6 60,22",
    "ticket": "round red 4,28 96,74;oval white 0,44 12,58;oval white 88,44 100,58;line3 white 30,38 30,64;"
    "line4 white 44,44 80,44;line4 white 44,58 70,58",
    "paper": "rect white 20,6 80,94;line4 grey 30,24 70,24;line4 grey 30,40 70,40;line4 grey 30,56 70,56;"
    "line4 red 30,76 54,76",
    "pencil": "poly yellow 18,66 66,18 82,34 34,82;poly skin 18,66 34,82 10,90;poly pink 66,18 76,8 92,24 82,34",
    "gift": "oval gold 26,10 50,34;oval gold 50,10 74,34;round red 12,32 88,92;rect gold 44,32 56,92",
    "bug": "oval ink 34,8 66,40;oval red 14,24 86,92;line3 ink 50,26 50,90;oval ink 28,42 40,54;"
    "oval ink 60,42 72,54;oval ink 30,66 42,78;oval ink 58,66 70,78",
    "mountain": "poly blue 4,90 40,20 76,90;poly purple 36,90 68,38 98,90;poly white 30,40 40,20 50,40 40,46",
    "snow": "oval white 22,42 78,96;oval white 32,14 68,50;oval ink 42,26 47,31;oval ink 53,26 58,31;"
    "poly orange 48,34 66,38 48,41;line4 red 34,48 66,48",
    "window": "round brown 12,6 88,94;rect sky 20,14 47,47;rect sky 53,14 80,47;rect sky 20,53 47,86;"
    "rect sky 53,53 80,86",
    "water": "poly blue 50,4 76,52 24,52;oval blue 20,36 80,94;oval sky 32,58 46,78",
    "bicycle": "oval ink 2,46 44,88;oval white 9,53 37,81;oval ink 56,46 98,88;oval white 63,53 91,81;"
    "line4 red 23,67 40,36 68,36 77,67;line4 red 23,67 50,67 68,36;line4 red 68,36 66,22 78,22",
    "balloon": "line2 grey 50,62 46,96;poly red 50,58 58,70 42,70;oval red 22,4 78,66;oval pink 34,14 46,30",
    "cake": "rect yellow 47,10 53,32;oval orange 45,2 55,14;round pink 18,32 82,62;round cream 8,56 92,92;"
    "line4 red 14,72 86,72",
    "egg": "oval white 8,14 92,88;oval yellow 36,36 66,66",
    "castle": "rect grey 20,30 80,92;rect grey 14,14 28,40;rect grey 43,14 57,40;rect grey 72,14 86,40;"
    "round ink 40,62 60,92",
    "dice": "round white 12,12 88,88;oval ink 24,24 38,38;oval ink 62,24 76,38;oval ink 43,43 57,57;"
    "oval ink 24,62 38,76;oval ink 62,62 76,76",
    "carrot": "poly orange 30,30 70,30 50,96;line6 green 50,30 34,8;line6 green 50,30 50,4;line6 green 50,30 66,8",
    "glasses": "line4 ink 40,48 60,48;oval ink 4,32 46,74;oval sky 11,39 39,67;oval ink 54,32 96,74;"
    "oval sky 61,39 89,67",
    "megaphone": "poly orange 20,38 82,10 82,84 20,58;round red 8,36 26,60;line6 brown 34,62 40,88",
}
# Which words of a key phrase call up which icon.
WORDS = {
    "house": "housing lease mortgage neighbour neighbours bedroom door office daycare mayor courthouse rent hotel",
    "book": "books diary library story reading homework grammar history teacher class exam school copy",
    "phone": "phone call pin chat talk profile",
    "coin": "coins money bet loan tax taxes taxi pension silver gold credit cash inflation investing bank "
    "lottery roulette slot donations refund price deposit rate debt wager",
    "bread": "bread sourdough toast bake bakery pancakes breakfast doughnuts avocado pizza",
    "car": "car park parking curb lane road",
    "bus": "bus tram street ride town",
    "person": "stranger brother grandma grandmother roommate teenagers barber singer famous admirer crush "
    "yawn stomach penpal jury",
    "people": "people fans walkers tourists friends families voters seniors choir developers classmate "
    "vegetarians readers children coworkers accountants guests police players parade sprint",
    "ballot": "ballots votes candidate election campaign lobby petition permit claim visa",
    "pill": "pills vitamin cough rash sore headache ear ankle treating knee back sick",
    "key": "keys secret hidden getaway oil squeaky",
    "letter": "letter mail parcel stamps stamp valentine flyer invite thank reference",
    "screen": "screen program script windows desktop laptops login update mouse pointer linux python git "
    "keyboard process developers abort execute system",
    "flower": "flowers roses garden lavender weeds pollinate herb grow wild seeds spring",
    "tree": "tree trees park planting apples orchard bonds oak wood",
    "leaf": "leaves autumn compost vegetables onion onions",
    "fish": "fish rod swim breaststroke sink worms",
    "ball": "football baseball golf tennis hoops sports pool beat base game marble",
    "cup": "cups tea coffee chocolate soup syrup",
    "clock": "clock time sunday monday midnight night short nonstop curfew",
    "pillow": "pillow bed bedtime feather boredom stiff awake",
    "heart": "heart love romantic kissing kiss flirt silver secret hate cheeky lacy",
    "star": "famous show win killer solo",
    "card": "card licence student diploma gym",
    "flag": "flag country war magna royal rival race marathon",
    "scales": "court suing judge custody will oath witness trial sentence lady notary case fighting",
    "cat": "cat dog rabbits bear penguins sheep deer dragons",
    "bird": "birds duck storks chicken ladybirds goose",
    "pot": "pot pasta stock soup cooking recipe curry kitchen dinner carve chop herb",
    "note": "note piano music violin drum guitar cymbal pop folk song dance sing sheet bar beeps",
    "camera": "camera film portrait spy family movie sunsets cinema peek binoculars",
    "mask": "mask carnival puppet theatre murder ghost scare scene joke laugh silly mystery",
    "shirt": "shirts sandals uniforms underwear mittens cotton dress socks costume launder iron hat",
    "ticket": "ticket tickets train free cinema fare tolls vacation airport flight trip",
    "paper": "paper note plan list watchlist calendar map report manifesto speech contract return filing",
    "pencil": "poem rhyme slogan label word quiz trivia",
    "gift": "gift birthday party ribbons toys",
    "bug": "bug virus snail flea",
    "mountain": "mountain hill uphill hikes climb rope fence stairs",
    "snow": "snowballs snowfall winter cold",
    "window": "windows wallpaper museum bench",
    "water": "water wash bath rainy leak drinking tears towel soap hands brushing fountain",
    "bicycle": "bike running run",
    "balloon": "balloon balloons bomb bombing blow carnival parade fireworks rubber",
    "cake": "cake cookie jam birthday honey spoon pyramid",
    "egg": "egg eggs yolks whites whip crack easter",
    "castle": "chess king england royal ancient pirates",
    "dice": "monopoly board bluff",
    "carrot": "pickles potatoes potato crate pumpkin walnuts fridge leftovers food",
    "glasses": "sunglasses look wig read",
    "megaphone": "promote cheer mock insult tease noise rude tell trash slogan",
}
# What fills a picture up to three icons, by scenario.
USUAL = (
    "key ticket flower", "people megaphone mask", "screen phone bug", "ball balloon snow", "coin dice card",
    "paper card pencil", "heart letter flower", "ballot flag megaphone", "camera book glasses",
    "scales paper house", "coin paper clock", "pill heart water", "flag house people",
)  # fmt: skip


def chosen(phrase: str, scenario: str) -> list[str]:
    """Three icons for a phrase: those its words call up first, then the usual ones of the scenario."""
    called = [name for word in phrase.split() for name, words in WORDS.items() if word in words.split()]
    return list(dict.fromkeys(called + USUAL[int(scenario[:2]) - 1].split()))[:3]


def corners(text: list[str], left: float, top: float, size: float) -> list[tuple[float, float]]:
    """Points "x,y" of the 100 x 100 square, in pixels of the drawing."""
    pairs = (point.split(",") for point in text)
    return [(left + float(x) * size / 100, top + float(y) * size / 100) for x, y in pairs]


def draw_icon(pen: ImageDraw.ImageDraw, name: str, left: float, top: float, size: float) -> None:
    """Draw one icon into the square of `size` pixels whose upper left corner is (left, top)."""
    for part in ICONS[name].split(";"):
        shape, colour, *points = part.split()
        at, fill = corners(points, left, top, size), COLOURS[colour]
        if shape == "rect":
            pen.rectangle((*at[0], *at[1]), fill=fill)
        elif shape == "round":
            pen.rounded_rectangle((*at[0], *at[1]), radius=size * 0.07, fill=fill)
        elif shape == "oval":
            pen.ellipse((*at[0], *at[1]), fill=fill)
        elif shape == "poly":
            pen.polygon(at, fill=fill)
        else:
            draw_line(pen, at, fill, float(shape.removeprefix("line")) * size / 100)


def draw_line(pen: ImageDraw.ImageDraw, at: list[tuple[float, float]], fill: str, width: float) -> None:
    """Draw a line of `width` pixels with round ends."""
    pen.line(at, fill=fill, width=round(width), joint="curve")
    for x, y in (at[0], at[-1]):
        pen.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=fill)


def draw_scenery(pen: ImageDraw.ImageDraw, ground: str, dice: random.Random) -> None:
    """Draw what stands behind the icons: a sun, clouds, and hills, roofs or a table."""
    side = SIDE * FINE
    x, y = dice.uniform(0.1, 0.9) * side, dice.uniform(0.08, 0.2) * side
    sun = COLOURS[dice.choice(["yellow", "cream", "orange"])]
    pen.ellipse((x - 110, y - 110, x + 110, y + 110), fill=sun)
    for _ in range(dice.randint(1, 3)):
        x, y = dice.uniform(0, 0.85) * side, dice.uniform(0.05, 0.3) * side
        for dx, r in ((0, 60), (90, 90), (190, 65)):
            pen.ellipse((x + dx - r, y - r, x + dx + r, y + r), fill="#ffffff")
    kind = dice.choice(["hills", "roofs", "table"])
    if kind == "hills":
        for x in (dice.uniform(-0.2, 0.2), dice.uniform(0.5, 0.8)):
            pen.ellipse(((x - 0.3) * side, 0.6 * side, (x + 0.7) * side, 1.6 * side), fill=ground)
    elif kind == "roofs":
        for column in range(8):
            height = dice.uniform(0.45, 0.68) * side
            pen.rectangle((column * side / 8, height, (column + 1) * side / 8, side), fill=ground)
    pen.rectangle((0, 0.74 * side, side, side), fill=ground)


def draw_picture(phrase: str, scenario: str) -> Image.Image:
    """The picture for one key phrase, 1024 x 1024, mode RGB."""
    dice = random.Random(int(digest([scenario, phrase]), 16))
    sky, ground = SCENES[int(scenario[:2]) - 1]
    image = Image.new("RGB", (SIDE * FINE, SIDE * FINE), sky)
    pen = ImageDraw.Draw(image)
    draw_scenery(pen, ground, dice)
    sizes = [dice.uniform(0.42, 0.5), dice.uniform(0.26, 0.33), dice.uniform(0.24, 0.3)]
    # The large icon in the middle with one at each side, or beside a raised one with the third in front.
    middles = dice.choice([(0.5, 0.17, 0.83), (0.3, 0.72, 0.58), (0.7, 0.27, 0.42)])
    bases = [0.84, dice.uniform(0.52, 0.6), 0.9] if middles[0] != 0.5 else [0.72, 0.9, 0.9]
    for name, size, middle, base in zip(chosen(phrase, scenario), sizes, middles, bases, strict=True):
        left, top, wide = (middle - size / 2) * image.width, (base - size) * image.width, size * image.width
        pen.ellipse((left, top + 0.92 * wide, left + wide, top + wide), fill=COLOURS["shade"])
        draw_icon(pen, name, left, top, wide)
    image = image.reduce(FINE)
    font = ImageFont.load_default(size=26)
    ImageDraw.Draw(image).text((SIDE / 2, SIDE - 34), LABEL, fill=COLOURS["ink"], font=font, anchor="mm")
    return image


def save_picture(phrase: str, scenario: str, path: Path) -> None:
    """Write the picture for one key phrase as a JPEG of at most 25 KB."""
    draw_picture(phrase, scenario).save(path, "JPEG", quality=50, optimize=True)


def draw_set(folder: Path) -> None:
    """Write `imgs/{scenario}/SD/{id}.jpg` for every question file in `folder`."""
    for path in sorted((folder / "processed_questions").glob("*.json")):
        target = folder / "imgs" / path.stem / "SD"
        target.mkdir(parents=True, exist_ok=True)
        for number, record in json.loads(path.read_text(encoding="utf-8")).items():
            save_picture(record["Key Phrase"], path.stem, target / f"{number}.jpg")


if __name__ == "__main__":
    for name in SETS:
        draw_set(HERE / name)
