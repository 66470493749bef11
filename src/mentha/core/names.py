"""Readable names for things that came without one."""

import secrets

_FIRST = (
    "amber brave bright calm clear cool crisp deep eager early fair fast fine fresh gentle glad golden grand green happy keen kind "
    "late light little lucky merry mild misty neat noble pale patient plain proud quick quiet rapid rare ready rich royal shy "
    "silent silver smooth soft solid still sunny sweet swift tall tidy true vivid warm wide wild wise young"
).split()
_SECOND = (
    "apple aspen autumn bay beech birch blossom breeze brook canyon cedar cherry cliff cloud clover coast coral dawn delta dune "
    "dusk elm ember fern field fjord forest garden glade grove harbor hazel heath hill island ivy lagoon lake laurel leaf maple "
    "marsh meadow mint moor moss mountain oak ocean olive orchard peak pine plum pond prairie rain reef river sage sand sea shore "
    "sky snow spring star stone storm stream summer sun thicket thyme tide valley willow wind winter wood"
).split()
_THIRD = (
    "badger bear beaver bee bison bittern crane cricket crow deer dove duck eagle egret elk falcon ferret finch fox frog gecko "
    "goose gull hare hawk heron ibex jay kite koala lark lemur lynx magpie marten mole moth newt otter owl panda pigeon plover "
    "puffin quail rabbit raven robin salmon seal shrew snipe sparrow stork swallow swan swift tern thrush toad trout turtle vole "
    "weasel whale wolf wren yak zebra"
).split()
_SUFFIX_CHARS = "abcdefghjkmnpqrstuvwxyz23456789"


def readable_name() -> str:
    """A name like `calm_birch_otter_x7k2m`: a valid canonical name, practically never made twice (about 10^13 of them)."""
    words = (secrets.choice(_FIRST), secrets.choice(_SECOND), secrets.choice(_THIRD))
    return "_".join((*words, "".join(secrets.choice(_SUFFIX_CHARS) for _ in range(5))))
