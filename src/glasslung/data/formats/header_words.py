"""Free text of a DICOM header let through only as words that everybody uses.

Technicians type what they like into these tags, names among it, and what is read here reaches reports and
tables. So a value passes when it is a term of the standard or of a maker's list, and is unknown otherwise.
"""

from __future__ import annotations

import re

# Defined terms of Modality, DICOM PS3.3 C.7.3.1.1.1; retired ones that archives still hold are among them.
MODALITIES = frozenset({
    "AR", "ASMT", "AU", "BDUS", "BI", "BMD", "CD", "CF", "CP", "CR", "CS", "CT", "CTPROTOCOL", "DD", "DF",
    "DG", "DM", "DMS", "DOC", "DS", "DX", "EC", "ECG", "EEG", "EMG", "EOG", "EPS", "ES", "FA", "FID", "FS",
    "GM", "HC", "HD", "IO", "IOL", "IVOCT", "IVUS", "KER", "KO", "LEN", "LP", "LS", "M3D", "MA", "MG", "MR",
    "MS", "NM", "OAM", "OCT", "OP", "OPM", "OPR", "OPT", "OPTBSV", "OPTENF", "OPV", "OSS", "OT", "PLAN",
    "POS", "PR", "PT", "PX", "REG", "RESP", "RF", "RG", "RTDOSE", "RTIMAGE", "RTINTENT", "RTPLAN", "RTRAD",
    "RTRECORD", "RTSEGANN", "RTSTRUCT", "RWV", "SEG", "SM", "SMR", "SR", "SRF", "ST", "STAIN", "TEXTUREMAP",
    "TG", "US", "VA", "VF", "VIDD", "XA", "XAPROTOCOL", "XC",
})  # fmt: skip
OTHER_MODALITY = "OT"  # the standard's own term for what is none of the others

# Body parts, DICOM PS3.16 Annex L, with the words for the chest that scanners add to them.
BODY_PARTS = frozenset({
    "ABDOMEN", "ABDOMENPELVIS", "ADRENAL", "ANKLE", "AORTA", "ARM", "AXILLA", "BACK", "BLADDER", "BODY",
    "BRAIN", "BREAST", "BRONCHUS", "BUTTOCK", "CALCANEUS", "CALF", "CAROTID", "CEREBELLUM", "CERVIX",
    "CHEEK", "CHEST", "CHESTABDOMEN", "CHESTABDPELVIS", "CIRCLEOFWILLIS", "CLAVICLE", "COCCYX", "COLON",
    "CORNEA", "CORONARYARTERY", "CSPINE", "CTSPINE", "DUODENUM", "EAR", "ELBOW", "ESOPHAGUS", "EXTREMITY",
    "EYE", "EYELID", "FACE", "FEMUR", "FINGER", "FOOT", "GALLBLADDER", "HAND", "HEAD", "HEADNECK", "HEART",
    "HIP", "HUMERUS", "IAC", "ILEUM", "ILIUM", "JAW", "JEJUNUM", "KIDNEY", "KNEE", "LARYNX", "LEG", "LIVER",
    "LSPINE", "LSSPINE", "LUNG", "MAXILLA", "MEDIASTINUM", "MOUTH", "NECK", "NECKCHEST", "NECKCHESTABDOMEN",
    "NECKCHESTABDPELV", "NOSE", "ORBIT", "OVARY", "PANCREAS", "PAROTID", "PATELLA", "PELVIS", "PENIS",
    "PHARYNX", "PROSTATE", "RECTUM", "RIB", "SCALP", "SCAPULA", "SCLERA", "SCROTUM", "SHOULDER", "SKULL",
    "SPINE", "SPLEEN", "SSPINE", "STERNUM", "STOMACH", "SUBMANDIBULAR", "TESTIS", "THIGH", "THORAX",
    "THUMB", "THYMUS", "THYROID", "TLSPINE", "TMJ", "TOE", "TONGUE", "TORSO", "TRACHEA", "TRUNK", "TSPINE",
    "UMBILICAL", "URETER", "URETHRA", "UTERUS", "VAGINA", "VULVA", "WHOLEBODY", "WRIST", "ZYGOMA",
})  # fmt: skip
CHEST = re.compile(r"CHEST|THORAX|LUNG|TORSO|TRUNK|PULMO|CAP\b")

KERNEL_WORD = (
    "STANDARD|STND|STD|SOFT|VSOFT|LUNG|BONE|BONEPLUS|DETAIL|EDGE|CHEST|ULTRA|SHARP|VSHARP|SMOOTH|VSMOOTH|"
    "BODY|BODYSOFT|BODYSHARP|BODYDETAIL|HEAD|BRAIN|ABDOMEN|THORAX|NORMAL|MEDIUM|ROUTINE|ENHANCED|EXTRA|VERY|"
    "HIGH|RESOLUTION|PLUS|HD|XRES|IDOSE|IMR|ASIR|AIDR|FBP|YA|YB|YC|YD|UA|UB|SB|EB|EC|CA|CB|XCA|XCB"
)
KERNEL_NUMBER = re.compile(r"\d{1,2}")
# A maker's word or one or two letters, then digits and a variant: LUNG2, B31f, Br40d, FC51. A word of letters
# alone must be a maker's, or be a single letter (Philips).
KERNEL_TOKEN = re.compile(
    rf"(?:{KERNEL_WORD})\d{{0,2}}|[A-Z]{{1,2}}\d{{1,2}}[A-Z]{{0,2}}|[A-Z]", re.IGNORECASE
)
KERNEL_TOKENS_MOST = 5
SHARP_WORDS = re.compile(r"LUNG|BONE|EDGE|SHARP|ULTRA|DETAIL", re.IGNORECASE)


def known_modality(text: str) -> str | None:
    """The modality when it is a defined term; OT (other) for any other text, None for none."""
    word = text.strip().upper()
    return (word if word in MODALITIES else OTHER_MODALITY) if word else None


def known_body_part(text: str) -> str | None:
    """The body part as a defined term, CHEST first where several words are given; None for unknown words."""
    upper = text.upper()
    whole = re.sub(r"[ _-]", "", upper)
    if whole in BODY_PARTS:
        return whole
    if CHEST.search(upper):
        return "CHEST"
    return next((word for word in re.split(r"[^A-Z]+", upper) if word in BODY_PARTS), None)


def known_kernel(text: str) -> str | None:
    """The kernel as the header names it, when all of it looks like a maker's name; else None."""
    tokens = [token for token in re.split(r"[ _/+.()-]", text) if token]
    numbers = [token for token in tokens if KERNEL_NUMBER.fullmatch(token)]
    named = [token for token in tokens if KERNEL_TOKEN.fullmatch(token)]
    # More than one bare number may be a date.
    fits = len(numbers) <= 1 and len(numbers) + len(named) == len(tokens) <= KERNEL_TOKENS_MOST
    return text if named and fits and text.isascii() else None


def known_number(text: str) -> str:
    """A series number when it is a whole number, '' otherwise."""
    return text if re.fullmatch(r"-?[0-9]{1,12}", text) else ""


def is_sharp(kernel: str | None) -> bool:
    """Whether a reconstruction kernel is a lung or bone kernel, by how the makers name theirs.

    GE spells them (LUNG, BONE, EDGE, DETAIL); Siemens counts up from 10 (B31f soft, B70f and Bl57 sharp, so
    50 and above); Philips has one letter (A to C soft, D, L, E sharp, YA soft); Canon FC01 to FC19 soft,
    FC30 and FC50 to FC89 sharp.
    """
    name = (kernel or "").split("/")[0].upper()
    if SHARP_WORDS.search(name):
        return True
    if canon := re.fullmatch(r"FC(\d\d).*", name):
        return int(canon[1]) == 30 or 50 <= int(canon[1]) < 90
    if siemens := re.match(r"[A-Z]{1,3}(\d\d)", name):
        return int(siemens[1]) >= 50
    return name in {"D", "L", "E", "YC", "YD"}
