"""RFC 9535 selector by selector, in cases of this project: each document whole, in single characters, at every cut.

A case names the places that a query selects; their values are looked up in the document. Places come in any order,
as the RFC leaves it open for objects, and a place that two selectors name comes twice.
"""

from __future__ import annotations

import json
import re

import pytest

from llmstream.core.json.documents import BULK
from llmstream.core.json.extract import normalized_path
from llmstream.core.json.fields import Fields
from llmstream.core.json.path import compile_path
from llmstream.errors import UsageError

from .test_fields import bag, every_cut, fields

VALLEY = {
    "rivers": [
        {"name": "Elbe", "km": 1094, "mouth": "North Sea", "towns": ["Dresden", "Hamburg"]},
        {"name": "Oder", "km": 840, "mouth": "Baltic Sea"},
        {"name": "Spree", "km": 400, "into": "Havel", "navigable": True},
        {"name": "Isar", "km": 295.5, "into": "Danube", "towns": ["Munich"], "navigable": False},
    ],
    "lake": {"name": "Müritz", "km2": 117, "depth": None},
    "limit": 500,
}
LETTERS = ["a", "b", "c", "d", "e", "f", "g"]
NAMES = {"b b": {"c.c": 1, "c": 2}, "'": {"@": 3}, '"': 4, "\\": 5, "☺": 6, "\U0001f600": 7, "": 8, "\t": 9, "$": 10}
NESTED = {"o": {"j": 1, "k": 2}, "a": [5, 3, [{"j": 4}, {"k": 6}]]}
MIXED = {
    "a": [3, 5, 1, 2, 4, 6, {"b": "j"}, {"b": "k"}, {"b": {}}, {"b": "kilo"}],
    "o": {"p": 1, "q": 2, "r": 3, "s": 5, "t": {"u": 6}},
    "e": "f",
}
TYPES = [None, True, False, 0, 1, "", "1", [], [1], {}, {"a": None}]
WORDS = ["stream", "streams", "Stream", "upstream", "str\neam", "", 7, None, ["stream"], {"x": "stream"}]

SELECTED = [
    # The root, and names
    (VALLEY, "$", "$"),
    ([1], "$", "$"),
    (VALLEY, "$.lake.name", "$['lake']['name']"),
    (VALLEY, "$['lake']['name']", "$['lake']['name']"),
    (VALLEY, '$["lake"].km2', "$['lake']['km2']"),
    (VALLEY, "$.nothing", ""),
    (VALLEY, "$.lake.name.first", ""),
    (VALLEY, "$.rivers.name", ""),
    (VALLEY, "$['limit','limit']", "$['limit'] $['limit']"),
    (VALLEY, "$['limit','lake'].name", "$['lake']['name']"),
    ({"name": 1, "NAME": 2}, "$.NAME", "$['NAME']"),
    ({"ключ": 1}, "$.ключ", "$['ключ']"),
    ({"标题": {"한국어": 1}}, "$.标题.한국어", "$['标题']['한국어']"),
    ({"标题": {"한국어": 1}}, "$..한국어", "$['标题']['한국어']"),
    ([{"标题": 1}, {"标题": 2}, {"": ".标题"}], "$[?@.标题 == 2 || @[''] == '.标题']", "$[1] $[2]"),
    # Wildcards
    (NESTED, "$[*]", "$['o'] $['a']"),
    (NESTED, "$.*", "$['o'] $['a']"),
    (NESTED, "$.o.*", "$['o']['j'] $['o']['k']"),
    (NESTED, "$.o[*,*]", "$['o']['j'] $['o']['k'] $['o']['j'] $['o']['k']"),
    (NESTED, "$.a[*]", "$['a'][0] $['a'][1] $['a'][2]"),
    (NESTED, "$.o.j.*", ""),
    ([], "$[*]", ""),
    ({}, "$.*", ""),
    # Indices
    (LETTERS, "$[0]", "$[0]"),
    (LETTERS, "$[6]", "$[6]"),
    (LETTERS, "$[7]", ""),
    (LETTERS, "$[-1]", "$[6]"),
    (LETTERS, "$[-7]", "$[0]"),
    (LETTERS, "$[-8]", ""),
    (LETTERS, "$[1,1,-6]", "$[1] $[1] $[1]"),
    (LETTERS, "$[9007199254740991]", ""),
    (LETTERS, "$[-9007199254740991]", ""),
    ({"0": "a"}, "$[0]", ""),
    ({"-1": "a"}, "$[-1]", ""),
    # Slices
    (LETTERS, "$[1:3]", "$[1] $[2]"),
    (LETTERS, "$[5:]", "$[5] $[6]"),
    (LETTERS, "$[:2]", "$[0] $[1]"),
    (LETTERS, "$[:]", "$[0] $[1] $[2] $[3] $[4] $[5] $[6]"),
    (LETTERS, "$[::]", "$[0] $[1] $[2] $[3] $[4] $[5] $[6]"),
    (LETTERS, "$[1:5:2]", "$[1] $[3]"),
    (LETTERS, "$[::3]", "$[0] $[3] $[6]"),
    (LETTERS, "$[5:1:-2]", "$[5] $[3]"),
    (LETTERS, "$[::-1]", "$[6] $[5] $[4] $[3] $[2] $[1] $[0]"),
    (LETTERS, "$[::-4]", "$[6] $[2]"),
    (LETTERS, "$[-2:]", "$[5] $[6]"),
    (LETTERS, "$[:-5]", "$[0] $[1]"),
    (LETTERS, "$[-3:-1]", "$[4] $[5]"),
    (LETTERS, "$[-1:-4:-1]", "$[6] $[5] $[4]"),
    (LETTERS, "$[2::-1]", "$[2] $[1] $[0]"),
    (LETTERS, "$[:4:-1]", "$[6] $[5]"),
    (LETTERS, "$[1:5:0]", ""),
    (LETTERS, "$[::0]", ""),
    (LETTERS, "$[3:1]", ""),
    (LETTERS, "$[3:3]", ""),
    (LETTERS, "$[1:3:-1]", ""),
    (LETTERS, "$[9:]", ""),
    (LETTERS, "$[-99:2]", "$[0] $[1]"),
    (LETTERS, "$[5:99]", "$[5] $[6]"),
    (LETTERS, "$[99:4:-1]", "$[6] $[5]"),
    (LETTERS, "$[0:2,1:3]", "$[0] $[1] $[1] $[2]"),
    (LETTERS, "$[0:2,5]", "$[0] $[1] $[5]"),
    ({"1": "a"}, "$[1:3]", ""),
    ({"1": "a"}, "$[::-1]", ""),
    # Descendants
    (NESTED, "$..j", "$['o']['j'] $['a'][2][0]['j']"),
    (NESTED, "$..[0]", "$['a'][0] $['a'][2][0]"),
    (NESTED, "$..[-1]", "$['a'][2] $['a'][2][1]"),
    (NESTED, "$..o", "$['o']"),
    (NESTED, "$.o..[*,*]", "$['o']['j'] $['o']['j'] $['o']['k'] $['o']['k']"),
    (NESTED, "$.a..[0,1]", "$['a'][0] $['a'][1] $['a'][2][0] $['a'][2][1]"),
    (NESTED, "$.a..*", "$['a'][0] $['a'][1] $['a'][2] $['a'][2][0] $['a'][2][1] $['a'][2][0]['j'] $['a'][2][1]['k']"),
    (NESTED, "$..['j','k']", "$['o']['j'] $['o']['k'] $['a'][2][0]['j'] $['a'][2][1]['k']"),
    (NESTED, "$..[1:]", "$['a'][1] $['a'][2] $['a'][2][1]"),
    (NESTED, "$..[?@.j]", "$['o'] $['a'][2][0]"),
    (NESTED, "$.o.j..*", ""),
    ({"a": {"a": {"a": 1}}}, "$..a", "$['a'] $['a']['a'] $['a']['a']['a']"),
    ({"a": {"a": {"a": 1}}}, "$..a..a", "$['a']['a'] $['a']['a']['a'] $['a']['a']['a']"),
    ([[[1]]], "$..[0]", "$[0] $[0][0] $[0][0][0]"),
    # Filters: existence
    (VALLEY, "$.rivers[?@.mouth].name", "$['rivers'][0]['name'] $['rivers'][1]['name']"),
    (VALLEY, "$.rivers[?!@.mouth].name", "$['rivers'][2]['name'] $['rivers'][3]['name']"),
    (VALLEY, "$.rivers[?@.navigable].name", "$['rivers'][2]['name'] $['rivers'][3]['name']"),
    (VALLEY, "$.rivers[?@.towns[1]].km", "$['rivers'][0]['km']"),
    (VALLEY, "$[?@.depth].name", "$['lake']['name']"),
    (VALLEY, "$[?@.*]", "$['rivers'] $['lake']"),
    (VALLEY, "$[?@..towns]", "$['rivers']"),
    (VALLEY, "$[?$.lake]", "$['rivers'] $['lake'] $['limit']"),
    (VALLEY, "$[?$.sea]", ""),
    (TYPES, "$[?@]", " ".join(f"$[{i}]" for i in range(len(TYPES)))),
    (TYPES, "$[?!@]", ""),
    (TYPES, "$[?@ && !(@ == true)]", " ".join(f"$[{i}]" for i in range(len(TYPES)) if i != 1)),
    (TYPES, "$[?@[?@]]", "$[8] $[10]"),
    (TYPES, "$[?@.a]", "$[10]"),
    (TYPES, "$[?@[0]]", "$[8]"),
    ({"a": 1, "b": 2}, "$[?@ > 1]", "$['b']"),
    ("text", "$[?@]", ""),
    # Filters: comparisons
    (VALLEY, "$.rivers[?@.km > 500].name", "$['rivers'][0]['name'] $['rivers'][1]['name']"),
    (VALLEY, "$.rivers[?@.km>=840].name", "$['rivers'][0]['name'] $['rivers'][1]['name']"),
    (VALLEY, "$.rivers[?@.km < 295.6].name", "$['rivers'][3]['name']"),
    (VALLEY, "$.rivers[?@.km <= 295.5].name", "$['rivers'][3]['name']"),
    (VALLEY, "$.rivers[?@.km < $.limit].name", "$['rivers'][2]['name'] $['rivers'][3]['name']"),
    (VALLEY, "$.rivers[?500 < @['km']].km", "$['rivers'][0]['km'] $['rivers'][1]['km']"),
    (VALLEY, "$.rivers[?@.into == 'Havel']", "$['rivers'][2]"),
    (VALLEY, "$.rivers[?@.into != 'Havel'].km", "$['rivers'][0]['km'] $['rivers'][1]['km'] $['rivers'][3]['km']"),
    (VALLEY, "$.rivers[?@.navigable == false].name", "$['rivers'][3]['name']"),
    (VALLEY, "$[?@.depth == null]", "$['lake']"),
    (VALLEY, "$.rivers[?@.towns == $.rivers[3].towns].name", "$['rivers'][3]['name']"),
    (MIXED, "$.a[?@.b == 'kilo']", "$['a'][9]"),
    (MIXED, '$.a[?(@.b == "kilo")]', "$['a'][9]"),
    (MIXED, "$.a[?@ > 3.5]", "$['a'][1] $['a'][4] $['a'][5]"),
    (MIXED, "$.a[?@.b]", "$['a'][6] $['a'][7] $['a'][8] $['a'][9]"),
    (MIXED, "$[?@[?@.b]]", "$['a']"),
    (MIXED, "$.o[?@<3,?@<3]", "$['o']['p'] $['o']['q'] $['o']['p'] $['o']['q']"),
    (MIXED, "$.o[?@>1 && @<4]", "$['o']['q'] $['o']['r']"),
    (MIXED, "$.o[?@.u || @.x]", "$['o']['t']"),
    (MIXED, "$.a[?@.b == $.x]", "$['a'][0] $['a'][1] $['a'][2] $['a'][3] $['a'][4] $['a'][5]"),
    (MIXED, "$.a[?@ == @]", " ".join(f"$['a'][{i}]" for i in range(10))),
    (MIXED, "$.a[?@<2 || @.b == 'k']", "$['a'][2] $['a'][7]"),
    (TYPES, "$[?@ == 1]", "$[4]"),
    (TYPES, "$[?@ == 1.0]", "$[4]"),
    (TYPES, "$[?@ == -0]", "$[3]"),
    (TYPES, "$[?@ == '1']", "$[6]"),
    (TYPES, "$[?@ == '']", "$[5]"),
    (TYPES, "$[?@ == true]", "$[1]"),
    (TYPES, "$[?@ == false]", "$[2]"),
    (TYPES, "$[?@ == null]", "$[0]"),
    (TYPES, "$[?@.a == null]", "$[10]"),
    (TYPES, "$[?@ <= null]", "$[0]"),
    (TYPES, "$[?@ < true]", ""),
    (TYPES, "$[?@ < 'a']", "$[5] $[6]"),
    ([100, 1e2, 1e1], "$[?@ == 1E2]", "$[0] $[1]"),
    ([0.01, 0.1], "$[?@ == 1.0e-2]", "$[0]"),
    (["b", "B", "é", "\U0001f600"], "$[?@ > 'b']", "$[2] $[3]"),
    # Filters: logical operators and their precedence; nesting
    (VALLEY, "$.rivers[?@.towns && @.km > 300].name", "$['rivers'][0]['name']"),
    (VALLEY, "$.rivers[?!(@.towns || @.mouth)].name", "$['rivers'][2]['name']"),
    (VALLEY, "$.rivers[?!@.towns&&!@.mouth].name", "$['rivers'][2]['name']"),
    (VALLEY, "$.rivers[?@.km==400||@.towns&&@.into].km", "$['rivers'][2]['km'] $['rivers'][3]['km']"),
    (VALLEY, "$.rivers[?(@.km==400||@.towns)&&@.into].km", "$['rivers'][2]['km'] $['rivers'][3]['km']"),
    (VALLEY, "$.rivers[?!(@.km > 400)].km", "$['rivers'][2]['km'] $['rivers'][3]['km']"),
    (LETTERS, f"$[?{' || '.join(f'@ == {n}' for n in range(50))} || @ == 'b']", "$[1]"),
    ([1, [1]], "$[?@[?@ == $[0]]]", "$[1]"),
    (VALLEY, "$.rivers[?@.towns[?@ == 'Munich']].name", "$['rivers'][3]['name']"),
    (VALLEY, "$.rivers[?@.towns].towns[?@ > 'H']", "$['rivers'][0]['towns'][1] $['rivers'][3]['towns'][0]"),
    (VALLEY, "$[?@[?@.km > 1000]][0].name", "$['rivers'][0]['name']"),
    (VALLEY, "$..[?@.km2 == 117].name", "$['lake']['name']"),
    (VALLEY, "$.rivers[?@.km > 500, 3].name", "$['rivers'][0]['name'] $['rivers'][1]['name'] $['rivers'][3]['name']"),
    # Functions
    (VALLEY, "$.rivers[?length(@.name) < 5].km", "$['rivers'][0]['km'] $['rivers'][1]['km'] $['rivers'][3]['km']"),
    (VALLEY, "$.rivers[?length(@.towns) == 2].km", "$['rivers'][0]['km']"),
    (VALLEY, "$[?length(@) == 3]", "$['lake']"),
    (["\U0001f600", "é", "ab"], "$[?length(@) == 1]", "$[0] $[1]"),
    (TYPES, "$[?length(@) == 0]", "$[5] $[7] $[9]"),
    (TYPES, "$[?length(@) >= 1]", "$[6] $[8] $[10]"),
    (TYPES, "$[?length(@.x) == length(@.y)]", " ".join(f"$[{i}]" for i in range(len(TYPES)))),
    (VALLEY, "$[?count(@..km) == 4]", "$['rivers']"),
    (VALLEY, "$.rivers[?count(@.*) >= 4].km", "$['rivers'][0]['km'] $['rivers'][2]['km'] $['rivers'][3]['km']"),
    (VALLEY, "$.rivers[?count(@['km','km']) == 2].km", " ".join(f"$['rivers'][{i}]['km']" for i in range(4))),
    (VALLEY, "$.rivers[?count(@.towns) == 0].km", "$['rivers'][1]['km'] $['rivers'][2]['km']"),
    (VALLEY, "$.rivers[?value(@..['Munich','towns'][1]) == 'Hamburg'].name", "$['rivers'][0]['name']"),
    (VALLEY, "$[?value(@..depth) == null]", "$['lake']"),
    (VALLEY, "$[?value(@..km) == 400]", ""),
    (WORDS, "$[?match(@, 'stream')]", "$[0]"),
    (WORDS, "$[?match(@, '[Ss]treams?')]", "$[0] $[1] $[2]"),
    (WORDS, "$[?match(@, 'str.eam')]", ""),
    (WORDS, "$[?match(@, '')]", "$[5]"),
    (WORDS, "$[?search(@, 'stream')]", "$[0] $[1] $[3]"),
    (WORDS, "$[?search(@, '(up|x).*m')]", "$[3]"),
    (WORDS, "$[?search(@, '\\\\p{Lu}')]", "$[2]"),
    (WORDS, "$[?!search(@, 'e')]", "$[5] $[6] $[7] $[8] $[9]"),
    (WORDS, "$[?match(@, 7)]", ""),
    (WORDS, "$[?match(@, '(')]", ""),
    (["a.b", "axb", "a"], "$[?match(@, 'a\\\\.b')]", "$[0]"),
    ([{"p": "a.", "t": "ab"}, {"p": "b.", "t": "ab"}], "$[?match(@.t, @.p)].t", "$[0]['t']"),
    # Null is a value, and its absence is not
    ({"a": None, "b": [None], "c": [{}]}, "$.a", "$['a']"),
    ({"a": None, "b": [None], "c": [{}]}, "$.a[0]", ""),
    ({"a": None, "b": [None], "c": [{}]}, "$.a.d", ""),
    ({"a": None, "b": [None], "c": [{}]}, "$.b[0]", "$['b'][0]"),
    ({"a": None, "b": [None], "c": [{}]}, "$.b[*]", "$['b'][0]"),
    ({"a": None, "b": [None], "c": [{}]}, "$.b[?@]", "$['b'][0]"),
    ({"a": None, "b": [None], "c": [{}]}, "$.b[?@==null]", "$['b'][0]"),
    ({"a": None, "b": [None], "c": [{}]}, "$.c[?@.d==null]", ""),
    ({"null": 1}, "$.null", "$['null']"),
    # White space
    (VALLEY, "$ .lake\t.name", "$['lake']['name']"),
    (VALLEY, "$\n[ 'lake' ]\r[ 'name' ]", "$['lake']['name']"),
    (VALLEY, "$ ..km2", "$['lake']['km2']"),
    (VALLEY, "$[ 'limit' , 'limit' ]", "$['limit'] $['limit']"),
    (LETTERS, "$[ 1 : 5 : 2 ]", "$[1] $[3]"),
    (LETTERS, "$[\n-1\n]", "$[6]"),
    (VALLEY, "$.rivers[ ? ! ( @.km > 400 ) && length( @.name )==4 ].km", "$['rivers'][3]['km']"),
]


def resolved(document: object, path: str) -> object:
    """The value at a normalized path whose names need no escapes."""
    for name, index in re.findall(r"\['([^']*)'\]|\[(\d+)\]", path):
        document = document[int(index) if index else name]
    return document


@pytest.mark.parametrize(("document", "query", "paths"), SELECTED)
def test_selected(document, query, paths):
    text = json.dumps(document, ensure_ascii=False)
    expected = bag([(path, resolved(document, path)) for path in paths.split()])
    assert bag([(path, json.loads(value)) for path, value in every_cut(text, query)]) == expected
    if text[0] in "{[":  # documents that follow each other in one large chunk
        times = 2 * BULK // len(text) + 2
        for style in ({}, {"indent": 1}):
            text = json.dumps(document, **style) + "\n"
            matches = fields([text * times], query)
            assert bag([(path, json.loads(value)) for path, value in matches]) == bag(
                [(path, resolved(document, path)) for path in paths.split()] * times
            )


COMPARED = {"text": "y", "list": [2, 3], "object": {"x": "y"}, "one": 1, "big": 13, "null": None, "probe": [0]}

COMPARISONS = {
    # comparisons of the values in COMPARED: what holds
    "$.absent == $.missing": True,
    "$.absent <= $.missing": True,
    "$.absent >= $.missing": True,
    "$.absent < $.missing": False,
    "$.absent != $.missing": False,
    "$.absent == 'g'": False,
    "$.absent != 'g'": True,
    "$.absent != $.null": True,
    "$.absent < $.one": False,
    "$.null == null": True,
    "1 <= 2": True,
    "1 > 2": False,
    "13 == '13'": False,
    "13 < '14'": False,
    "$.big == 1.3e1": True,
    "'a' <= 'b'": True,
    "'a' > 'b'": False,
    "'ab' < 'b'": True,
    "'' < 'a'": True,
    "$.object == $.list": False,
    "$.object != $.list": True,
    "$.object == $.object": True,
    "$.object != $.object": False,
    "$.list == $.list": True,
    "$.list != $.list": False,
    "$.object <= $.list": False,
    "$.object < $.object": False,
    "$.object <= $.object": True,
    "$.list >= $.list": True,
    "$.list > $.list": False,
    "1 <= $.list": False,
    "1 >= $.list": False,
    "1 > $.list": False,
    "1 < $.list": False,
    "$.list[0] == 2": True,
    "$.list[-1] == 3": True,
    "$.list[5] == $.list[-5]": True,
    "$.object.x == $.text": True,
    "$.object['x'] != $.text": False,
    "true <= true": True,
    "true >= false": False,
    "true > true": False,
    "true == 1": False,
    "false == null": False,
}


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_comparisons(comparison):
    matches = every_cut(json.dumps(COMPARED), f"$.probe[?{comparison}]")
    assert matches == [("$['probe'][0]", "0")] * COMPARISONS[comparison]


QUOTED = {
    # a selector for a member of NAMES: the normalized path
    "$['b b']['c.c']": "$['b b']['c.c']",
    '$["b b"]["c.c"]': "$['b b']['c.c']",
    "$['b b'].c": "$['b b']['c']",
    "$[\"'\"]['@']": "$['\\'']['@']",
    "$['\\'']['@']": "$['\\'']['@']",
    "$['\"']": "$['\"']",
    '$["\\""]': "$['\"']",
    "$['\\\\']": "$['\\\\']",
    "$['\\u005c']": "$['\\\\']",
    "$['☺']": "$['☺']",
    "$.☺": "$['☺']",
    "$['\\u263A']": "$['☺']",
    "$['\\uD83D\\uDE00']": "$['\U0001f600']",
    "$['\U0001f600']": "$['\U0001f600']",
    "$['']": "$['']",
    "$['\\t']": "$['\\t']",
    "$['\\u0009']": "$['\\t']",
    "$['$']": "$['$']",
}


@pytest.mark.parametrize("query", QUOTED)
def test_quotes_and_escapes(query):
    for ensure_ascii in (True, False):
        [(path, value)] = every_cut(json.dumps(NAMES, ensure_ascii=ensure_ascii), query)
        assert (path, value) == (QUOTED[query], str(NAMES_BY_PATH[path]))


NAMES_BY_PATH = {
    "$['b b']['c.c']": 1,
    "$['b b']['c']": 2,
    "$['\\'']['@']": 3,
    "$['\"']": 4,
    "$['\\\\']": 5,
    "$['☺']": 6,
    "$['\U0001f600']": 7,
    "$['']": 8,
    "$['\\t']": 9,
    "$['$']": 10,
}

NORMALIZED = {
    # a name: the last step of its normalized path
    "a": "['a']",
    "it's": "['it\\'s']",
    '"': "['\"']",
    "\\": "['\\\\']",
    "/": "['/']",
    "\b\f\n\r\t": "['\\b\\f\\n\\r\\t']",
    "\x00": "['\\u0000']",
    "\x0b": "['\\u000b']",
    "\x1f": "['\\u001f']",
    "\x7f": "['\x7f']",
    "é\U0001f600": "['é\U0001f600']",
}


@pytest.mark.parametrize("name", NORMALIZED)
def test_normalized_paths(name):
    path = f"$[0]{NORMALIZED[name]}[1]"
    text = json.dumps([{name: [None, 1]}])
    assert every_cut(text, "$[*].*[1]") == [(path, "1")]
    assert every_cut(text, path) == [(path, "1")]  # a normalized path is a query for its own place
    assert normalized_path(Fields([compile_path("$[*].*[1]")]).feed(text)[0][1]) == path


INVALID = [
    # Nothing at all, or no root
    "",
    " $",
    "$ ",
    "$$",
    "@",
    "@.a",
    # Segments
    "$.",
    "$..",
    "$...a",
    "$.a.",
    "$.&",
    "$.1",
    "$.-a",
    "$. a",
    "$.. a",
    "$.'a'",
    '$."a"',
    "$.a b",
    "$.[0]",
    "$a",
    # Brackets and their selectors
    "$[]",
    "$[",
    "$]",
    "$[0",
    "$[0]]",
    "$[a]",
    "$[0,]",
    "$[,0]",
    "$[0 1]",
    "$[*",
    "$[**]",
    "$['a'",
    "$['a]",
    "$['a\"]",
    "$['a''b']",
    # Numbers: I-JSON's range, no leading zeros, signs or fractions
    "$[01]",
    "$[-0]",
    "$[-01]",
    "$[+1]",
    "$[1.0]",
    "$[1e2]",
    "$[- 1]",
    "$[9007199254740992]",
    "$[-9007199254740992]",
    "$[0:9007199254740992]",
    "$[::9007199254740992]",
    "$[01:2]",
    "$[1:02]",
    "$[::-0]",
    "$[1:2:3:4]",
    "$[1:a]",
    # Strings
    "$['\\a']",
    "$['\\\"']",
    '$["\\\'"]',
    "$['\\u12']",
    "$['\\u12g4']",
    "$['\\ud800']",
    "$['\\ude00\\ud83d']",
    "$['\\ud83d\\u0041']",
    "$['\t']",
    "$['\n']",
    "$['\x00']",
    "$['\\']",
    # Filters
    "$[?]",
    "$[?()]",
    "$[?(@.a]",
    "$[?@.a)]",
    "$[?@.a ==]",
    "$[?== 1]",
    "$[?@.a = 1]",
    "$[?@.a === 1]",
    "$[?@.a <> 1]",
    "$[?@.a == 1e999]",
    "$[?@.a == 1 == 2]",
    "$[?1]",
    "$[?'a']",
    "$[?true]",
    "$[?null]",
    "$[?@.a && true]",
    "$[?@.a & @.b]",
    "$[?@.a and @.b]",
    "$[?!]",
    "$[?! @.a == 1]",
    "$[?@.a ||]",
    "$[?@.* == 1]",
    "$[?@..a == 1]",
    "$[?@[0:2] == 1]",
    "$[?@['a','b'] == 1]",
    "$[?@[?@.a] == 1]",
    "$[?(@.a == 1) == true]",
    "$[?1 == (@.a || @.b)]",
    "$[?@.b[?!@ == 1]]",
    "$[?@.a == [1]]",
    "$[?@.a == {}]",
    "$[?@.a == 01]",
    "$[?@.a == 1.]",
    "$[?@.a == .5]",
    "$[?@.a == +1]",
    "$[?@.a == True]",
    "$[?@.a == nothing]",
    "$[?a == 1]",
    # Functions: their names, operands and results
    "$[?length()]",
    "$[?length(@.a)]",
    "$[?length(@.*) == 1]",
    "$[?length(@.a, @.b) == 1]",
    "$[?length (@.a) == 1]",
    "$[?Length(@.a) == 1]",
    "$[?size(@.a) == 1]",
    "$[?count(@.a)]",
    "$[?count(1) == 1]",
    "$[?count(@.a == 1) == 1]",
    "$[?count() == 1]",
    "$[?count(@.a, @.b) == 1]",
    "$[?value(@.a)]",
    "$[?value(1) == 1]",
    "$[?match(@.a)]",
    "$[?match(@.a, 'x', 'y')]",
    "$[?match(@.a, 'x') == true]",
    "$[?match(@.*, 'x')]",
    "$[?search(@.a, 'x') == false]",
    "$[?length(match(@.a, 'x')) == 1]",
    "$[?match(@.a 'x')]",
]


@pytest.mark.parametrize("query", INVALID)
def test_invalid_queries_are_refused(query):
    with pytest.raises(UsageError):
        compile_path(query)


LITERALS = ["1", "1.0", "0", "true", "false", "null", "'a'", "''", "1e2"]


@pytest.mark.parametrize("sign", ["==", "!=", "<", "<=", ">", ">="])
@pytest.mark.parametrize("literal", LITERALS)
def test_comparisons_as_the_library_makes_them(sign, literal):
    """A query that is compared with a literal has a short way; the same in brackets and twice has not."""
    values = [
        1,
        1.0,
        0,
        True,
        False,
        None,
        "a",
        "",
        "b",
        100,
        -1,
        2**70,
        [],
        [1],
        {},
        {"a": 1},
        {"a": "a"},
        {"a": None},
    ]
    for query in ("@", "@.a", "@['a']", "@.a.b"):
        fast, slow = (
            [match[1] for match in Fields([compile_path(path)]).feed(json.dumps(values))]
            for path in (f"[?{query} {sign} {literal}]", f"[?{query} {sign} {literal} || {query} {sign} {literal}]")
        )
        assert fast == slow, query
        (filter,) = compile_path(f"[?{query} {sign} {literal}]").segments[0].filters
        assert filter.select(values) == [filter.holds(value, None) for value in values]
