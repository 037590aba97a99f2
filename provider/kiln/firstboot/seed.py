"""The NoCloud seed: a small CD that cloud-init reads at first boot.

Source: cloud-init's documentation of the NoCloud data source: a vfat or ISO 9660 file system labelled ``CIDATA`` with
``user-data`` and ``meta-data``, and optionally ``vendor-data`` and ``network-config``.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from kiln.firstboot.metadata import meta_data, vendor_data
from kiln.firstboot.userdata import FirstBoot, user_data

LABEL = "CIDATA"
_FILE_MODE = 0o100400
_VOLUME_DATE = b"2000010100000000\x00"
_RECORD_DATE = bytes((100, 1, 1, 0, 0, 0, 0))
_TF_DATES = ("creation_time", "access_time", "modification_time", "attribute_change_time")
_VD_DATES = ("volume_creation_date", "volume_effective_date")
_SECTOR = 2048
_MODIFIED = slice(830, 847)
"""Where a volume descriptor holds its modification date (ECMA-119 section 8.4.27), which pycdlib sets as it writes."""


def files(told: FirstBoot) -> dict[str, bytes]:
    """The files of the seed by name. Raises InputError for what the guest could not use."""
    content = {"user-data": user_data(told), "meta-data": meta_data(told), "vendor-data": vendor_data(told)}
    if told.network_config is not None:
        content["network-config"] = told.network_config.encode()
    return content


def build(told: FirstBoot) -> bytes:
    """The seed's bytes: the same for the same content. Raises InputError for what the guest could not use."""
    return iso(files(told))


def iso(content: Mapping[str, bytes]) -> bytes:
    """An ISO 9660 volume with Joliet and Rock Ridge names, labelled ``CIDATA``, its files readable by root alone."""
    import pycdlib

    image = pycdlib.PyCdlib()
    image.new(interchange_level=3, vol_ident=LABEL, joliet=3, rock_ridge="1.09", app_ident_str="KILN")
    try:
        for name, data in sorted(content.items()):
            plain = f"/{name.upper().replace('-', '')[:8]}.;1"
            image.add_fp(io.BytesIO(data), len(data), plain, rr_name=name, joliet_path=f"/{name}", file_mode=_FILE_MODE)
        _fix_dates(image)
        out = io.BytesIO()
        image.write_fp(out)
        return _with_modification_date(out.getvalue())
    finally:
        image.close()


def _fix_dates(image: Any) -> None:
    """Put one date everywhere, since pycdlib takes the clock's and knows no other way."""
    from pycdlib.dates import DirectoryRecordDate, VolumeDescriptorDate

    def parsed(date: Any, data: bytes) -> Any:
        date.parse(data)
        return date

    image.force_consistency()
    for descriptor in (image.pvd, image.joliet_vd):
        for name in _VD_DATES:
            setattr(descriptor, name, parsed(VolumeDescriptorDate(), _VOLUME_DATE))
        root = descriptor.root_directory_record()
        for record in (root, *root.children):
            record.date = parsed(DirectoryRecordDate(), _RECORD_DATE)
            for entries in (record.rock_ridge.dr_entries, record.rock_ridge.ce_entries) if record.rock_ridge else ():
                for name in _TF_DATES if entries and entries.tf_record else ():
                    if getattr(entries.tf_record, name) is not None:
                        setattr(entries.tf_record, name, parsed(DirectoryRecordDate(), _RECORD_DATE))


def _with_modification_date(image: bytes) -> bytes:
    out = bytearray(image)
    sector = 16 * _SECTOR
    while out[sector] != 255:  # the set of volume descriptors ends with its terminator
        if out[sector] in (1, 2):
            out[sector + _MODIFIED.start : sector + _MODIFIED.stop] = _VOLUME_DATE
        sector += _SECTOR
    return bytes(out)
