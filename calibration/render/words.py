"""The words that products are made of: brand syllables, lines, kinds of food, flavours and sizes.

Tables only. Brand names are put together from syllables and mean nothing; likeness to a real name is chance.
The order of every table is part of the format: a changed order is a changed catalogue (see `folder.VERSION`).
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BRAND_NAMES", "KINDS", "LINES", "MOTIFS", "OBJECTS", "SEALS", "SIZES", "Kind", "brand_name"]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Onset, middle and ending always split the same way (consonants, vowel+consonants, vowel...), so no two triples read
# alike. 36 * 24 * 16 = 13,824 names.
_ONSETS = _words(
    "Bal Bor Brim Cal Cor Dal Den Dor Fal Fen Fin Gal Gor Hal Hel Jor Kal Kel Kor Lan Lor Mar Mel Mor Nal Nor Pel Por "
    "Ral Ron Sel Sol Tal Tor Val Ver"
)
_MIDDLES = _words("ab ad af ak am ap av eb ed ef ek em ev ib id im iv ob od om ov ub um uv")
_ENDINGS = _words("a e o ia ella ento ino era ona ur ay elle ora ana is ix")
BRAND_NAMES = len(_ONSETS) * len(_MIDDLES) * len(_ENDINGS)


def brand_name(number: int) -> str:
    """Return the name with this number, 0 <= number < BRAND_NAMES; different numbers give different names."""
    rest, ending = divmod(number, len(_ENDINGS))
    onset, middle = divmod(rest, len(_MIDDLES))
    return _ONSETS[onset] + _MIDDLES[middle] + _ENDINGS[ending]


LINES = _words(
    "Classic Bio Gold Light Family Fresh Premium Original Farm Garden Select Natural Country Finest Daily Kids Extra "
    "Vital Zero Homestyle Harvest Festival Sunrise Nordic Rustica Delight Royal Mild Intense Pure"
)
SEALS = ("100%", "BIO", "VEGAN", "NEW", "0%", "EXTRA", "No.1", "FAIR", "PLUS", "ECO", "+20%", "XL")
MOTIFS = _words(
    "cow rooster rabbit bear panda lion tiger fox cat dog frog monkey bee butterfly owl penguin koala unicorn sheep "
    "elephant turtle parrot star sun crown mountain wave snowflake fire gem rocket moon rainbow sailboat anchor heart "
    "clover pine palm cactus sunflower daisy duck dolphin whale"
)
OBJECTS = _words(
    "shoe teddy football umbrella spectacles purse telephone book scissors hammer camera clock cap gloves key "
    "red-apple green-apple banana pear lemon orange melon watermelon pineapple grapes broccoli carrot cucumber "
    "eggplant potato onion garlic bread croissant"
)

# A flavour is the word on the pack and the picture in `art/`; the picture is named after the word unless `=` says it.
_FRUIT = (
    "Lemon Orange Cherry Strawberry Peach Mango Pineapple Blueberry Banana Apple=red-apple Pear Grape=grapes Kiwi "
    "Melon Watermelon Coconut Quince=green-apple Cassis=grapes Plum=peach Mandarin=orange Guava=pear"
)
_VEGETABLE = (
    "Tomato Mushroom Corn Carrot Broccoli Onion Garlic Beans Peas Pepper=bell-pepper Chili=hot-pepper Olive Eggplant "
    "Potato Cucumber Spinach=lettuce Ginger Batata=sweet-potato Avocado Herbs=herb"
)
_NUTTY = (
    "Honey Chocolate Peanut Chestnut Coconut Strawberry Banana Cherry Lemon Orange Caramel=custard Coffee Milk Butter "
    "Apple=red-apple Blueberry Cookie Waffle Grain Maple"
)
_HERBAL = (
    "Lemon Mint=herb Peach Ginger Cherry Apple=red-apple Orange Rose Jasmine=daisy Hibiscus Honey Lavender=hyacinth "
    "Forest=pine Clover Sakura=blossom Mango Sencha=green-tea Lotus Meadow=leaf Sunflower"
)
_SALTY = (
    "Salted=potato Cheese Chili=hot-pepper Paprika=bell-pepper Onion Garlic Bacon Tomato Corn Lime=lemon Mushroom "
    "Herbs=herb Shrimp Chicken=drumstick Steak Barbecue=rib Pretzel Peanut Popcorn Olive"
)
_SCENT = (
    "Lemon Rose Lavender=hyacinth Daisy Tulip Ocean=wave Alpine=mountain Forest=pine Blossom Lotus Hibiscus Orange "
    "Apple=green-apple Coconut Mint=herb Snow=snowflake Rain=droplet Meadow=leaf Sun Clover"
)
_SAVOURY = (
    "Chicken=drumstick Beef=steak Fish Shrimp Crab Tomato Mushroom Carrot Cheese Bacon Duck Rib Egg Herbs=herb Garlic "
    "Peas Corn Lobster Squid Chili=hot-pepper"
)
_DISH = (
    "Spaghetti Noodles Rice Curry Tomato Mushroom Chicken=drumstick Shrimp Cheese Herbs=herb Stew Dumpling Beans "
    "Broccoli Chili=hot-pepper Garlic Olive Salad Beef=steak Corn"
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of goods: its category, what it is measured in, the forms it is sold in and its flavours."""

    category: str
    measure: str  # a key of SIZES together with the container
    forms: tuple[str, ...]  # keys of `forms.FORMS`
    flavours: tuple[tuple[str, str], ...]  # (word, picture)


def _kind(category: str, measure: str, forms: str, flavours: str) -> Kind:
    pairs = []
    for item in flavours.split():
        word, _, picture = item.partition("=")
        pairs.append((word, picture or word.lower()))
    return Kind(category, measure, tuple(forms.split()), tuple(pairs))


KINDS = (
    _kind("soft drinks", "ml", "can-slim can-regular bottle-pet bottle-glass", _FRUIT),
    _kind("juice", "ml", "bottle-glass box-carton bottle-pet", _FRUIT),
    _kind("tea", "bags", "box-flat box-wide pouch-stand", _HERBAL),
    _kind("coffee", "g", "jar-tall pouch-stand can-tin", _NUTTY),
    _kind("cereals", "g", "box-tall pouch-bag box-wide", _NUTTY),
    _kind("biscuits", "g", "box-flat pouch-pillow box-wide", _NUTTY),
    _kind("snacks", "g", "pouch-bag pouch-pillow can-tube", _SALTY),
    _kind("canned food", "g", "can-tin can-tall", _VEGETABLE),
    _kind("soups", "g", "can-tin pouch-stand box-carton", _SAVOURY),
    _kind("sauces", "g", "bottle-squeeze jar-round bottle-glass jar-tall", _VEGETABLE),
    _kind("jam", "g", "jar-round jar-low", _FRUIT),
    _kind("dairy", "ml", "bottle-milk box-carton jar-tub", _FRUIT),
    _kind("ready meals", "g", "box-wide box-flat pouch-stand", _DISH),
    _kind("pet food", "g", "can-tin pouch-stand box-tall", _SAVOURY),
    _kind("sweets", "g", "pouch-bag box-flat jar-tub", _NUTTY + " Candy Lollipop Cupcake Doughnut"),
    _kind("cleaning", "ml", "bottle-squeeze bottle-jug pouch-stand", _SCENT),
    _kind("washing powder", "g", "box-tall box-wide", _SCENT),
    _kind("baby food", "g", "jar-low pouch-stand", _FRUIT),
)

# Pairs of sizes: a line has one pair; its first size is the usual one, the second makes the size twins.
SIZES: dict[tuple[str, str], tuple[tuple[str, str], ...]] = {
    ("can", "ml"): (("330 ml", "500 ml"), ("250 ml", "330 ml")),
    ("bottle", "ml"): (("500 ml", "750 ml"), ("1.0 l", "1.5 l"), ("250 ml", "500 ml")),
    ("box", "ml"): (("500 ml", "1.0 l"), ("200 ml", "500 ml")),
    ("jar", "ml"): (("250 ml", "500 ml"),),
    ("pouch", "ml"): (("500 ml", "800 ml"),),
    ("can", "g"): (("400 g", "800 g"), ("200 g", "400 g")),
    ("bottle", "g"): (("250 g", "500 g"), ("340 g", "560 g")),
    ("jar", "g"): (("250 g", "500 g"), ("340 g", "450 g"), ("200 g", "400 g")),
    ("box", "g"): (("250 g", "500 g"), ("375 g", "750 g"), ("300 g", "600 g")),
    ("pouch", "g"): (("150 g", "300 g"), ("200 g", "250 g"), ("100 g", "175 g")),
    ("box", "bags"): (("20 bags", "40 bags"), ("25 bags", "50 bags")),
    ("pouch", "bags"): (("15 bags", "30 bags"),),
}
