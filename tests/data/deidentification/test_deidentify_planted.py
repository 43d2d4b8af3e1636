"""Identifiers planted anywhere in a file: none survives, whatever the place, the type or the coding."""

from __future__ import annotations

import io
from unittest import mock

import pydicom
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydicom import config
from pydicom.datadict import DicomDictionary
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from glasslung.data.deidentification.dicom_cleaning import clean_dicom
from glasslung.data.deidentification.headers import Options, Person
from glasslung.data.deidentification.identifiers import identifiers_of
from glasslung.data.deidentification.kept import kept_attributes
from glasslung.data.deidentification.keys import Secret
from glasslung.data.deidentification.moments import Clock
from glasslung.errors import DataError
from made_identities import identified

SECRET = Secret(bytes(range(32)))
TEXT_TYPES = ("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT")
NUMBER_TYPES = ("DS", "IS", "DA", "TM", "AS", "UI")
TAGS = sorted(
    tag
    for tag, entry in DicomDictionary.items()
    if entry[0] in TEXT_TYPES and tag >> 16 > 8 and tag not in (0x00080005, 0xFFFCFFFC)
)
NEEDED = sorted(keyword for keyword in kept_attributes() if not keyword.endswith("Sequence"))
SEQUENCES = (0x00400275, 0x00081140, 0x00081110, 0x52009229, 0x0040A730, 0x00400555, 0x00081115)
# No word of these is in any list: made of letters that words rarely have side by side.
WORDS = st.text("qxzjvkw", min_size=8, max_size=16)
NUMBERS = st.text("0123456789", min_size=9, max_size=14).filter(lambda text: len(set(text)) > 4)
UMLAUTS = WORDS.map(lambda word: f"Wü{word}ß")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return identified(tmp_path_factory.mktemp("planted"))[0]


def cleaned(source, plant, options=None, text=None):
    """The bytes that come out when `plant` has changed the file; None when the file would be set aside."""
    ds = pydicom.dcmread(source)
    plant(ds)
    changed = source.with_name("changed")
    with mock.patch.object(config, "replace_un_with_known_vr", False):
        ds.save_as(changed)
    if text is not None:  # into the place of a number, which the library would not have made of it
        changed.write_bytes(changed.read_bytes().replace(b"7" * len(text), text.encode()))
    known = identifiers_of(pydicom.dcmread(changed))
    person = Person.of("GL-TEST", Clock(4000, 0.0), SECRET, known)
    try:
        return clean_dicom(changed, person, options or Options(), False)[0]
    except DataError:
        return None


def assert_gone(content, text):
    for coding in ("utf-8", "latin-1"):
        assert text.casefold().encode(coding, "ignore") not in content.lower()
        assert text.lower().encode(coding, "ignore") not in content.lower()


def nested(ds, depth, path):
    for n in range(depth):
        item = Dataset()
        ds.add_new(SEQUENCES[(path + n) % len(SEQUENCES)], "SQ", [item])
        ds = item
    return ds


def put(ds, tag, kind, text):
    """As raw bytes, because no library would make such a value."""
    value = text.encode("utf-8")
    value += b" " * (len(value) % 2)
    ds[tag] = RawDataElement(Tag(tag), kind, len(value), value, 0, False, True)


quick = settings(
    max_examples=30,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
all_options = st.builds(Options, st.booleans(), st.just(False), st.booleans())


@quick
@given(
    st.one_of(WORDS, NUMBERS, UMLAUTS),
    st.sampled_from(TAGS),
    st.integers(0, 4),
    st.integers(0, 6),
    all_options,
)
def test_in_any_text_attribute_at_any_depth(source, text, tag, depth, path, options):
    kind = DicomDictionary[tag][0]

    def plant(ds):
        ds.SpecificCharacterSet = "ISO_IR 192"
        put(nested(ds, depth, path), tag, kind, text)

    content = cleaned(source, plant, options)
    assert content is not None
    assert_gone(content, text)


@quick
@given(
    st.one_of(WORDS, NUMBERS),
    st.sampled_from(("LO", "UN", "OB", "LT", "UT", "PN", "CS", "ST", "AE")),
    st.integers(0x10, 0xFF),
    st.integers(0, 3),
)
def test_in_any_private_attribute(source, text, kind, element, depth):
    def plant(ds):
        home = nested(ds, depth, 0)
        block = home.private_block(0x0099, text, create=True)
        put(home, block.get_tag(element), kind, text)

    content = cleaned(source, plant)
    assert content is not None
    assert_gone(content, text)


@settings(quick, max_examples=60)
@given(st.one_of(WORDS, NUMBERS), st.sampled_from(NEEDED), st.sampled_from(("own", "UN")))
def test_in_an_attribute_that_stays(source, text, keyword, kind):
    """A word is gone, or the file is set aside; a number that is the patient's id as well."""
    tag = pydicom.datadict.tag_for_keyword(keyword)
    own = pydicom.datadict.dictionary_VR(tag)

    def plant(ds):
        ds.PatientID = text
        if kind == "own" and own in NUMBER_TYPES:
            put(ds, tag, own, "7" * len(text))
        else:
            put(ds, tag, own if kind == "own" and own in TEXT_TYPES else "UN", text)

    content = cleaned(source, plant, Options(True, True, True), text)
    if content is not None:
        assert_gone(content, text)


@quick
@given(WORDS)
def test_outside_the_attributes(source, text):
    """In the preamble, the file meta, behind the pixels, in overlays and in padding."""

    def plant(ds):
        ds.preamble = text.encode().ljust(128, b"\0")
        ds.file_meta.PrivateInformationCreatorUID = "1.2.3.4.5"
        ds.file_meta.PrivateInformation = text.encode() + b"\0" * (len(text) % 2)
        ds.file_meta.SourceApplicationEntityTitle = text[:16]
        ds.PixelData = ds.PixelData + text.encode() + b"\0" * (len(text) % 2)
        ds.add_new(0x60003000, "OW", text.encode() + b"\0" * (len(text) % 2))
        ds.add_new(0x60000022, "LO", text)
        ds.add_new(0xFFFCFFFC, "OB", text.encode() + b"\0" * (len(text) % 2))

    assert_gone(cleaned(source, plant), text)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"])
def test_in_other_codings_of_the_file(source, syntax, tmp_path):
    """Implicit, big endian and deflated files come out explicit and little endian, with the same pixels."""
    ds = pydicom.dcmread(source)
    ds.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    before = ds.pixel_array.copy() if not syntax.endswith("1.2.2") else pydicom.dcmread(source).pixel_array
    if syntax.endswith("1.2.2"):
        ds.PixelData = before.astype(">i2").tobytes()
    content = io.BytesIO()
    little = not syntax.endswith("1.2.2")
    pydicom.dcmwrite(
        content, ds, implicit_vr=syntax == "1.2.840.10008.1.2", little_endian=little, force_encoding=True
    )
    other = tmp_path / "other"
    other.write_bytes(content.getvalue())
    known = identifiers_of(pydicom.dcmread(other))
    made, _, _ = clean_dicom(other, Person.of("GL-T", Clock(4000, 0.0), SECRET, known), Options(), False)
    after = pydicom.dcmread(io.BytesIO(made))
    assert after.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
    assert (after.pixel_array == before).all()
    assert_gone(made, "quastenberg")


def test_words_of_closed_lists_stay_and_are_no_leak(source):
    """A patient called Thorax does not lose the body part of his scan."""
    content = cleaned(source, lambda ds: setattr(ds, "PatientName", "Thorax^Lung"))
    assert pydicom.dcmread(io.BytesIO(content)).BodyPartExamined == "CHEST"
