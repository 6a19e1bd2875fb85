"""Sequence parameter sets of H.264 (ITU-T H.264 7.3.2.1.1) and H.265 (ITU-T H.265 7.3.2.2). Core.

Only what a container must say is read: the picture's size after cropping, chroma and bit depths.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Profiles whose SPS carries chroma format, bit depths and scaling matrices (7.3.2.1.1).
_H264_HIGH_PROFILES = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})
_MAX_SIDE = 16_384
_MAX_UE_ZEROS = 31
#: Longer sets exist only in garbage; bounds the integer that holds the bits.
_MAX_SPS_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Sps:
    """What a container must know of a sequence parameter set."""

    width: int
    height: int
    chroma_format_idc: int
    bit_depth_luma: int
    bit_depth_chroma: int
    #: H.264: profile_idc, constraint flags, level_idc; H.265: the 12 bytes of the general
    #: profile_tier_level (7.3.3).
    profile: bytes
    #: H.265: sps_max_sub_layers_minus1 + 1 and sps_temporal_id_nesting_flag; H.264: 1 and False.
    temporal_layers: int = 1
    temporal_id_nested: bool = False


class BitReader:
    """Reads a raw byte sequence payload bit by bit; emulation prevention bytes are left out."""

    __slots__ = ("_bits", "_left")

    def __init__(self, nal: bytes) -> None:
        payload = nal[:_MAX_SPS_BYTES].replace(b"\x00\x00\x03", b"\x00\x00")
        self._bits = int.from_bytes(payload, "big")
        self._left = 8 * len(payload)

    def u(self, count: int) -> int:
        """The next ``count`` bits as an unsigned integer; ValueError behind the end."""
        self._left -= count
        if self._left < 0:
            raise ValueError("parameter set is cut short")
        return self._bits >> self._left & ((1 << count) - 1)

    def ue(self) -> int:
        """An Exp-Golomb code (H.264 9.1), at most 2**32 - 2."""
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros > _MAX_UE_ZEROS:
                raise ValueError("parameter set holds an overlong Exp-Golomb code")
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        """A signed Exp-Golomb code (H.264 9.1.1)."""
        code = self.ue()
        return (code + 1) // 2 if code & 1 else -(code // 2)


def read_h264_sps(nal: bytes) -> Sps:
    """Read a whole SPS NAL unit of type 7.

    Raises:
        ValueError: it is none, is cut short, or says what no picture can be.
    """
    if len(nal) < 4 or nal[0] & 0x1F != 7:
        raise ValueError("no H.264 sequence parameter set")
    bits = BitReader(nal)
    bits.u(8)
    profile_idc = bits.u(8)
    bits.u(16)
    _at_most(bits.ue(), 31, "seq_parameter_set_id")
    chroma, luma_bits, chroma_bits, separate = 1, 8, 8, 0
    if profile_idc in _H264_HIGH_PROFILES:
        chroma = _at_most(bits.ue(), 3, "chroma_format_idc")
        if chroma == 3:
            separate = bits.u(1)
        luma_bits = 8 + _at_most(bits.ue(), 6, "bit_depth_luma_minus8")
        chroma_bits = 8 + _at_most(bits.ue(), 6, "bit_depth_chroma_minus8")
        bits.u(1)
        if bits.u(1):
            for index in range(12 if chroma == 3 else 8):
                if bits.u(1):
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    _at_most(bits.ue(), 12, "log2_max_frame_num_minus4")
    order_count_type = _at_most(bits.ue(), 2, "pic_order_cnt_type")
    if order_count_type == 0:
        _at_most(bits.ue(), 12, "log2_max_pic_order_cnt_lsb_minus4")
    elif order_count_type == 1:
        bits.u(1)
        bits.se()
        bits.se()
        for _ in range(_at_most(bits.ue(), 255, "num_ref_frames_in_pic_order_cnt_cycle")):
            bits.se()
    bits.ue()  # max_num_ref_frames
    bits.u(1)
    columns = bits.ue() + 1
    map_units = bits.ue() + 1
    frame_mbs_only = bits.u(1)
    if not frame_mbs_only:
        bits.u(1)
    bits.u(1)
    left, right, top, bottom = _crop(bits)
    array_type = 0 if separate else chroma
    unit_x = 2 if array_type in (1, 2) else 1
    unit_y = (2 if array_type == 1 else 1) * (2 - frame_mbs_only)
    return Sps(
        width=_side(16 * columns - unit_x * (left + right)),
        height=_side(16 * map_units * (2 - frame_mbs_only) - unit_y * (top + bottom)),
        chroma_format_idc=chroma,
        bit_depth_luma=luma_bits,
        bit_depth_chroma=chroma_bits,
        profile=nal[1:4],
    )


def read_h265_sps(nal: bytes) -> Sps:
    """Read a whole SPS NAL unit of type 33.

    Raises:
        ValueError: it is none, is cut short, or says what no picture can be.
    """
    if len(nal) < 15 or nal[0] >> 1 & 0x3F != 33:
        raise ValueError("no H.265 sequence parameter set")
    bits = BitReader(nal)
    bits.u(16)
    bits.u(4)
    sub_layers = _at_most(bits.u(3), 6, "sps_max_sub_layers_minus1")
    nested = bits.u(1)
    general = bits.u(96).to_bytes(12, "big")
    _skip_sub_layer_levels(bits, sub_layers)
    _at_most(bits.ue(), 15, "sps_seq_parameter_set_id")
    chroma = _at_most(bits.ue(), 3, "chroma_format_idc")
    separate = bits.u(1) if chroma == 3 else 0
    width, height = bits.ue(), bits.ue()
    left, right, top, bottom = _crop(bits)
    luma_bits = 8 + _at_most(bits.ue(), 8, "bit_depth_luma_minus8")
    chroma_bits = 8 + _at_most(bits.ue(), 8, "bit_depth_chroma_minus8")
    array_type = 0 if separate else chroma
    return Sps(
        width=_side(width - (2 if array_type in (1, 2) else 1) * (left + right)),
        height=_side(height - (2 if array_type == 1 else 1) * (top + bottom)),
        chroma_format_idc=chroma,
        bit_depth_luma=luma_bits,
        bit_depth_chroma=chroma_bits,
        profile=general,
        temporal_layers=sub_layers + 1,
        temporal_id_nested=bool(nested),
    )


def _crop(bits: BitReader) -> tuple[int, int, int, int]:
    """Left, right, top, bottom offsets of the cropping or conformance window, in crop units."""
    if not bits.u(1):
        return 0, 0, 0, 0
    return bits.ue(), bits.ue(), bits.ue(), bits.ue()


def _skip_scaling_list(bits: BitReader, size: int) -> None:
    """H.264 7.3.2.1.1.1."""
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


def _skip_sub_layer_levels(bits: BitReader, sub_layers: int) -> None:
    """The rest of profile_tier_level behind the general part (H.265 7.3.3)."""
    present = [(bits.u(1), bits.u(1)) for _ in range(sub_layers)]
    if sub_layers:
        bits.u(2 * (8 - sub_layers))
    for has_profile, has_level in present:
        if has_profile:
            bits.u(88)
        if has_level:
            bits.u(8)


def _at_most(value: int, limit: int, name: str) -> int:
    if value > limit:
        raise ValueError(f"{name} is {value}, above {limit}")
    return value


def _side(pixels: int) -> int:
    if not 1 <= pixels <= _MAX_SIDE:
        raise ValueError(f"a picture side of {pixels} pixels")
    return pixels
