"""The vocabulary of the generated data. Names are short, so that a handle has at most 30 characters."""

from collections.abc import Iterator
from itertools import product


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _phrases(text: str) -> tuple[str, ...]:
    """One phrase per line."""
    return tuple(line.strip() for line in text.strip().splitlines())


FIRST_NAMES = _words(
    """ada alan alice amina anna arjun bela chen clara david dina edith elena emil emma eva farid fatou felix grace
    hana henry ida ines ivan jack jana jonas julia kai kamal karin katie lena leo linus lucia luis mae maria marta
    max mei milan mira nadia nils nina noah nora olga oscar otto paul petra priya ravi rosa ruth sam sara sofia
    stefan tara theo tomas uma vera viktor wanda yara yusuf zoe"""
)
LAST_NAMES = _words(
    """abbott adler banerjee bell bergman blum boole borg brandt cantor castro church clarke cohen curie dahl diaz
    dijkstra erdos euler evans farkas fischer fourier franklin galois gauss germain goodall gray haas hamilton
    hertz hopper hughes ito jensen johnson kaya keller khan kimura klein knuth lamarr larsen laurent lindgren
    liskov lovelace mayer meitner mendel moreau nagy neumann noether novak okafor olsen ortiz patel perlman pike
    planck ramos ritchie rossi sato schmidt silva singh sorensen tanaka turing vargas wagner weber wright
    yamada zhou"""
)
# Most frequent first.
TAGS = _words(
    """travel food photography books music running design coding gardening coffee history cycling science hiking
    films baking cats dogs birds maps space trains castles pottery chess swimming knitting sailing radio typography
    weather bridges bees markets libraries mushrooms lighthouses woodwork fermentation stargazing"""
)
MATERIALS = _words("oak walnut linen wool steel brass glass ceramic leather cork")
COLOURS = _words("black white red green blue yellow grey natural")
THINGS = {
    "kitchen": ("mug", "bread knife", "teapot", "cutting board", "storage jar"),
    "office": ("desk lamp", "pen tray", "notebook", "bookend", "clock"),
    "garden": ("trowel", "planter", "watering can", "bird feeder", "lantern"),
    "travel": ("satchel", "bottle", "map case", "blanket", "pillow"),
    "music": ("metronome", "music stand", "record box", "guitar strap", "tuning fork"),
}

TITLE_STARTS = _phrases("""
    Notes on
    A weekend with
    What I learnt about
    In praise of
    Getting started with
    The trouble with
    Three thoughts about
    A short history of
    Another look at
    Against
""")
TITLE_ENDS = _phrases("""
    slow bread
    night trains
    small gardens
    paper maps
    old lenses
    cold lakes
    loud clocks
    quiet libraries
    wooden boats
    good knives
    long walks
    street markets
    open windows
    honest soup
    winter light
    broken radios
""")
REMARKS = _phrases("""
    I had no idea, thank you.
    This made my morning.
    Where exactly was that?
    Same here, every single time.
    Could you share the recipe?
    We should go together next spring.
    I would have done it the other way round.
    The second picture is wonderful.
    Not sure I agree, but well put.
    Saving this for later.
    My father used to say the same.
    How long did it take you?
""")
BIOS = (
    "",
    *_phrases("""
    Reads maps for fun.
    Bakes bread and breaks bicycles.
    Mostly trains and birds.
    Teacher by day, potter by night.
    Looking for the best soup in town.
    Here for the photographs.
    Writes slowly.
    Two cats, one garden.
    Asks questions.
"""),
)

_SUBJECTS = _phrases("""
    The market
    An early train
    My neighbour's cat
    A borrowed bicycle
    The first frost
    This little workshop
    The second attempt
    A letter from the coast
""")
_PLACES = _phrases("""
    by the river
    in the old harbour
    behind the station
    on the way home
    above the village
    in my grandmother's kitchen
    at the edge of the forest
    under the bridge
    on the roof
    in the last row
""")
_ENDS = _phrases("""
    was better than I remembered
    took most of the afternoon
    is worth the detour
    made everybody laugh
    taught me more than any book
    needs another try next week
""")


def sentences() -> Iterator[str]:
    """All sentences."""
    for subject, place, end in product(_SUBJECTS, _PLACES, _ENDS):
        yield f"{subject} {place} {end}."
