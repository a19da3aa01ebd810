"""The edge cases of a JSON parser, each made here from the grammar (RFC 8259): values that are JSON, values that are
not, and values about which parsers differ. Names say what is odd.
"""

import itertools

DEPTHS = (1, 10, 100, 1_000, 10_000, 30_000)


_BAD_ARRAYS = {
    "not ended": "[1",
    "not ended after a comma": "[1,",
    "a comma first": "[,1]",
    "a comma last": "[1,]",
    "two commas": "[1,,2]",
    "commas only": "[,]",
    "no comma": "[1 2]",
    "a colon": "[1:2]",
    "the wrong end": "[1}",
    "an end too many": "[1]]",
    "a comment": "[1/*a*/]",
    "a line comment": "[1]//a",
    "a hash": "[1]#a",
    "a semicolon": "[1;2]",
    "a star": "[*]",
    "an ellipsis": "[1,...]",
}
_BAD_OBJECTS = {
    "not ended": '{"a":1',
    "not ended after a key": '{"a"',
    "not ended after a colon": '{"a":',
    "no value": '{"a":}',
    "no key": "{:1}",
    "no colon": '{"a" 1}',
    "two colons": '{"a"::1}',
    "an equals sign": '{"a"=1}',
    "an arrow": '{"a"=>1}',
    "a comma last": '{"a":1,}',
    "a comma first": '{,"a":1}',
    "two commas": '{"a":1,,"b":2}',
    "no comma": '{"a":1 "b":2}',
    "a number as key": "{1:1}",
    "a word as key": "{a:1}",
    "single quotes": "{'a':1}",
    "null as key": "{null:1}",
    "the wrong end": '{"a":1]',
    "an end too many": '{"a":1}}',
    "a value alone": '{"a"}',
    "a comment": '{"a":/**/1}',
    "text after it": '{"a":1}x',
    "two of them": '{"a":1}{"b":2}',
}
_BAD_SPACES = {
    "no-break": "\u00a01",
    "vertical tab": "\v1",
    "form feed": "\f1",
    "zero width": "\u200b1",
    "byte order mark": "\ufeff1",
    "ideographic": "\u30001",
    "escaped": "\\n1",
    "NUL": "\x001",
}


def _numbers() -> tuple[dict[str, bytes], dict[str, bytes], dict[str, bytes]]:
    signs, wholes, fractions, exponents = (
        ("", "-"),
        ("0", "1", "12", "10"),
        ("", ".0", ".5", ".05"),
        ("", "e1", "E+2", "e-3", "e00"),
    )
    good = {
        f"number {sign}{whole}{fraction}{exponent}": f"{sign}{whole}{fraction}{exponent}".encode()
        for sign, whole, fraction, exponent in itertools.product(signs, wholes, fractions, exponents)
    }
    bad_parts = {
        "leading zero": ("00", "01", "-01", "-00", "012.5"),
        "no digit before the point": (".5", "-.5", "."),
        "no digit after the point": ("1.", "-1.", "0.e1", "1.e5"),
        "no exponent": ("1e", "1E", "1e+", "1e-", "0e", "1.5e"),
        "two points or exponents": ("1.2.3", "1..2", "1e2e3", "1e2.5", "1e1.0"),
        "plus": ("+1", "+0.5", "++1", "- 1", "--1", "-", "+"),
        "other bases": ("0x1F", "0b1", "0o7", "1_000", "1,000", "1 000", "1'000"),
        "not a number": ("NaN", "-NaN", "nan", "Infinity", "-Infinity", "+Infinity", "inf", "Inf"),
        "other digits": ("\uff11", "\u0661", "1\u00b2", "\u00bd"),
        "a suffix": ("1L", "1f", "1.0d", "1a", "0x", "1-", "2+2", "1;"),
    }
    bad = {f"number, {why}: {text}": text.encode() for why, texts in bad_parts.items() for text in texts}
    either = {
        "number, 20 digits": b"1" * 20,
        "number, 2 to the 63rd": b"9223372036854775808",
        "number, below -2 to the 63rd": b"-9223372036854775809",
        "number, 400 digits": b"1" * 400,
        "number, 4000 digits": b"-" + b"9" * 4_000,
        "number, many digits after the point": b"0." + b"1" * 4_000,
        "number, beyond a double": b"1e400",
        "number, far beyond a double": b"-1e999999999",
        "number, below every double": b"1e-400",
        "number, an exponent of 100 digits": b"1e" + b"1" * 100,
        "number, zeros before the exponent's end": b"1e0000000000000000000000000000000000001",
        "number, the largest double": b"1.7976931348623157e308",
        "number, the smallest double": b"5e-324",
        "number, -0.0": b"-0.0",
    }
    return good, bad, either


def _strings() -> tuple[dict[str, bytes], dict[str, bytes], dict[str, bytes]]:
    good = {f"string, escape {each}": f'"a\\{each}b"'.encode() for each in '"\\/bfnrt'}
    good |= {
        "string, empty": b'""',
        "string, a \\u": b'"\\u0041\\u00e9\\u20ac\\uFFFF\\uffff"',
        "string, a pair of surrogates": b'"\\ud83d\\ude00"',
        "string, DEL": b'"\x7f"',
        "string, C1 controls": '"\u0080\u009f"'.encode(),
        "string, line separators": '"\u2028\u2029"'.encode(),
        "string, noncharacters": '"\ufffe\uffff\U0001fffe\U0010ffff"'.encode(),
        "string, a byte order mark inside": '"a\ufeffb"'.encode(),
        "string, combining": '"e\u0301\u200d\U0001f468\u200d\U0001f469"'.encode(),
        "string, right to left": '"\u202ea\u202c"'.encode(),
        "string, what looks like an escape": b'"\\\\u0041\\\\n"',
        "string, braces": b'"}{][,:"',
        "string, a slash": b'"</script>"',
    }
    bad = {
        f"string, escape {each!r}": b'"a\\' + each + b'b"'
        for each in (b"a", b"x41", b"0", b"'", b"U0041", b" ", b"\xc3\xa9")
    }
    bad |= {
        f"string, short \\u: {each}": f'"\\u{each}"'.encode()
        for each in ("", "0", "00", "004", "004g", "+041", "-041", " 041")
    }
    bad |= {
        f"string, a raw control character {number:#04x}": b'"a%cb"' % number for number in range(0x20) if number != 0x0A
    }
    bad |= {
        "string, not ended": b'"abc',
        "string, ended by an escape": b'"abc\\"',
        "string, a backslash at the end": b'"abc\\',
        "string, single quotes": b"'abc'",
        "string, no quotes": b"abc",
        "string, typographic quotes": "\u201cabc\u201d".encode(),
        "string, backquotes": b"`abc`",
        "string, a quote too many": b'"abc""',
        "string, two": b'"a" "b"',
        "string, concatenated": b'"a"+"b"',
    }
    either = {
        "string, NUL as an escape": b'"a\\u0000b"',
        "string, a lone high surrogate": b'"\\ud800"',
        "string, a lone low surrogate": b'"\\udc00"',
        "string, surrogates the wrong way round": b'"\\ude00\\ud83d"',
        "string, a high surrogate and a letter": b'"\\ud800a"',
        "string, a high surrogate and an escape": b'"\\ud800\\n"',
        "string, a high surrogate twice": b'"\\ud800\\ud800"',
        "string, 60 kB": b'"' + b"x" * 60_000 + b'"',
    }
    return good, bad, either


def _encodings() -> dict[str, bytes]:
    """Of strings: bytes that are not UTF-8."""
    broken = {
        "a continuation alone": b"\x80",
        "two continuations": b"\xbf\xbf",
        "a lead alone": b"\xc3",
        "a lead and a letter": b"\xc3(",
        "a lead of three and two bytes": b"\xe2\x82",
        "a lead of four and three bytes": b"\xf0\x9f\x98",
        "two bytes for one": b"\xc0\xaf",
        "two bytes for NUL": b"\xc0\x80",
        "three bytes for one": b"\xe0\x80\xaf",
        "four bytes for one": b"\xf0\x80\x80\xaf",
        "a surrogate": b"\xed\xa0\x80",
        "a pair of surrogates": b"\xed\xa0\xbd\xed\xb8\x80",
        "beyond Unicode": b"\xf4\x90\x80\x80",
        "five bytes": b"\xf8\x88\x80\x80\x80",
        "six bytes": b"\xfc\x84\x80\x80\x80\x80",
        "FE and FF": b"\xfe\xff",
        "Latin-1": "é".encode("latin-1"),
        "Shift JIS": "日本".encode("shift-jis"),
    }
    return {f"encoding, {name}": b'"a' + data + b'b"' for name, data in broken.items()}


def _structures() -> tuple[dict[str, bytes], dict[str, bytes], dict[str, bytes]]:
    good = {
        "literal true": b"true",
        "literal false": b"false",
        "literal null": b"null",
        "array, empty": b"[]",
        "array, of everything": b'[null, true, 1, "a", {}, [], -0.5e3]',
        "object, empty": b"{}",
        "object, empty key": b'{"": 1}',
        "object, keys that are escaped": b'{"\\u0061\\n": 1}',
        "object, a key twice": b'{"a": 1, "a": 2}',
        "object, __proto__": b'{"__proto__": {"a": 1}, "constructor": null}',
        "object, a thousand keys": b"{%b}" % b",".join(b'"k%d":%d' % (number, number) for number in range(1_000)),
        "array, ten thousand": b"[" + b"1," * 9_999 + b"1]",
        "spaces everywhere": b'{ "a" :\t[ 1 ,\r2 ] , "b" : { } }',
    }
    bad = {
        f"literal {each}": each.encode()
        for each in ("True", "FALSE", "nul", "nulll", "None", "undefined", "tru", "truth", "t", "nil", "yes")
    }
    bad |= {f"array, {name}": text.encode() for name, text in _BAD_ARRAYS.items()}
    bad |= {f"object, {name}": text.encode() for name, text in _BAD_OBJECTS.items()}
    bad |= {f"space, {name}": text.encode() for name, text in _BAD_SPACES.items()}
    either = {}
    for depth in DEPTHS:
        either[f"nesting, {depth} arrays"] = b"[" * depth + b"]" * depth
        bad[f"nesting, {depth} arrays without an end"] = b"[" * depth
        if depth <= 10_000:
            either[f"nesting, {depth} objects"] = b'{"a":' * depth + b"1" + b"}" * depth
            bad[f"nesting, {depth} ends"] = b"1" + b"]" * depth
    return good, bad, either


def _whole() -> dict[str, bytes]:
    """Of a whole text: what is no value with something odd about it, but odd from its first byte."""
    text = '{"a": 1}'
    return {
        "whole, UTF-16 with a mark": text.encode("utf-16"),
        "whole, UTF-16 without": text.encode("utf-16-le"),
        "whole, UTF-32": text.encode("utf-32"),
        "whole, a byte order mark": b"\xef\xbb\xbf" + text.encode(),
        "whole, half a mark": b"\xef\xbb" + text.encode(),
        "whole, gzip": b"\x1f\x8b\x08\x00",
        "whole, BSON": b"\x0c\x00\x00\x00\x10a\x00\x01\x00\x00\x00\x00",
        "whole, a record separator": b"\x1e" + text.encode(),
        "whole, NUL at its end": text.encode() + b"\0",
        "whole, HTML": b"<html>",
        "whole, a shell's": b"; DROP TABLE payload; --",
    }


_PARTS = (_numbers(), _strings(), _structures())
GOOD = {name: data for good, _, _ in _PARTS for name, data in good.items()}
"""Values that are JSON, and that every parser takes."""
BAD = {name: data for _, bad, _ in _PARTS for name, data in bad.items()}
"""Texts in a value's place that make what is around them no JSON."""
ENCODINGS = _encodings()
"""Strings that are not UTF-8: bad where anybody looks at them."""
EITHER = {name: data for _, _, either in _PARTS for name, data in either.items()}
"""Values about which parsers differ, and may."""
WHOLE = _whole()
"""Texts that are no JSON as a whole."""
