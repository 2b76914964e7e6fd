"""The vocabulary of the generated data. Names are short, so that a handle has at most 30 characters."""

from collections.abc import Iterator
from itertools import product

FIRST_NAMES = tuple(
    """ada alan alice amina anna arjun bela chen clara david dina edith elena emil emma eva farid fatou felix grace
    hana henry ida ines ivan jack jana jonas julia kai kamal karin katie lena leo linus lucia luis mae maria marta
    max mei milan mira nadia nils nina noah nora olga oscar otto paul petra priya ravi rosa ruth sam sara sofia
    stefan tara theo tomas uma vera viktor wanda yara yusuf zoe""".split()
)
LAST_NAMES = tuple(
    """abbott adler banerjee bell bergman blum boole borg brandt cantor castro church clarke cohen curie dahl diaz
    dijkstra erdos euler evans farkas fischer fourier franklin galois gauss germain goodall gray haas hamilton
    hertz hopper hughes ito jensen johnson kaya keller khan kimura klein knuth lamarr larsen laurent lindgren
    liskov lovelace mayer meitner mendel moreau nagy neumann noether novak okafor olsen ortiz patel perlman pike
    planck ramos ritchie rossi sato schmidt silva singh sorensen tanaka turing vargas wagner weber wright
    yamada zhou""".split()
)

# The most used first.
TAGS = tuple(
    """travel food photography books music running design coding gardening coffee history cycling science hiking
    films baking cats dogs birds maps space trains castles pottery chess swimming knitting sailing radio typography
    weather bridges bees markets libraries mushrooms lighthouses woodwork fermentation stargazing""".split()
)

_PLACES = tuple(
    """by the river|in the old harbour|behind the station|on the way home|above the village|in my grandmother's
    kitchen|at the edge of the forest|under the bridge|on the roof|in the last row""".replace("\n    ", " ").split("|")
)
_SUBJECTS = (
    "The market|An early train|My neighbour's cat|A borrowed bicycle|The first frost|This little workshop|"
    "The second attempt|A letter from the coast"
).split("|")
_ENDS = (
    "was better than I remembered|took most of the afternoon|is worth the detour|made everybody laugh|"
    "taught me more than any book|needs another try next week"
).split("|")

TITLE_STARTS = (
    "Notes on|A weekend with|What I learnt about|In praise of|Getting started with|The trouble with|"
    "Three thoughts about|A short history of|Finally:|Against"
).split("|")
TITLE_ENDS = (
    "slow bread|night trains|small gardens|paper maps|old lenses|cold lakes|loud clocks|quiet libraries|"
    "wooden boats|good knives|long walks|street markets|open windows|honest soup|winter light|broken radios"
).split("|")
REMARKS = (
    "I had no idea, thank you.|This made my morning.|Where exactly was that?|Same here, every single time.|"
    "Could you share the recipe?|We should go together next spring.|I would have done it the other way round.|"
    "The second picture is wonderful.|Not sure I agree, but well put.|Saving this for later.|"
    "My father used to say the same.|How long did it take you?"
).split("|")
BIOS = (
    "|Reads maps for fun.|Bakes bread and breaks bicycles.|Mostly trains and birds.|Teacher by day, potter by night.|"
    "Looking for the best soup in town.|Here for the photographs.|Writes slowly.|Two cats, one garden.|Asks questions."
).split("|")
MATERIALS = "oak|walnut|linen|wool|steel|brass|glass|ceramic|leather|cork".split("|")
COLOURS = "black|white|red|green|blue|yellow|grey|natural".split("|")
THINGS = {
    "kitchen": "mug|bread knife|teapot|cutting board|storage jar".split("|"),
    "office": "desk lamp|pen tray|notebook|bookend|clock".split("|"),
    "garden": "trowel|planter|watering can|bird feeder|lantern".split("|"),
    "travel": "satchel|bottle|map case|blanket|pillow".split("|"),
    "music": "metronome|music stand|record box|guitar strap|tuning fork".split("|"),
}


def sentences() -> Iterator[str]:
    """Every sentence there is."""
    for subject, place, end in product(_SUBJECTS, _PLACES, _ENDS):
        yield f"{subject} {place} {end}."
