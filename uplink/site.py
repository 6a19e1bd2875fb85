"""What each platform may see of this box, from the settings. Shell: reads settings only.

A channel is shown to a platform if the camera is enabled, exposed, named by the platform's
``channels`` (or these are empty) and has a code; nothing else of it reaches the cores.
"""

from __future__ import annotations

from importlib import metadata

from config.schema import Camera, Platform, Settings
from uplink.catalog import civil_code
from uplink.device import Channel, Device, Directory
from uplink.manscdp.charset import Charset

US_PER_MINUTE = 60_000_000
_CHARSETS = {"2016": Charset.GB2312, "2022": Charset.GB18030}


def device_for(settings: Settings, platform: Platform) -> Device:
    """This box in the eyes of ``platform``."""
    site = settings.site
    shown = [camera for camera in settings.camera if is_shown(camera, platform)]
    names = {camera.id for camera in shown}
    own_area = civil_code(platform.device_id)
    return Device(
        platform=platform.name,
        device_id=platform.device_id,
        server_id=platform.server_id,
        domain=platform.domain,
        name=site.name,
        civil_code=own_area,
        edition=platform.edition,
        charset=Charset(platform.charset or _CHARSETS[platform.edition]),
        channels=tuple(_channel(camera, site.name, own_area) for camera in shown),
        directories=tuple(
            Directory(
                code=one.id,
                name=one.name,
                parent=one.parent or "",
                cameras=tuple(camera for camera in one.cameras if camera in names),
            )
            for one in platform.directory
        ),
        is_listed=platform.list_device,
        longitude=site.longitude,
        latitude=site.latitude,
        record_days=settings.retention.min_days,
        record_item_us=platform.record_item_minutes * US_PER_MINUTE,
        is_record_clipped=platform.record_clip,
        allow=frozenset(platform.allow),
        snapshot_hosts=frozenset(
            host.lower() for host in (platform.server.host, *platform.peers, *platform.upload_hosts)
        ),
        firmware=metadata.version("xueliang-edge"),
    )


def is_shown(camera: Camera, platform: Platform) -> bool:
    """Whether the platform may know of the camera."""
    is_named = not platform.channels or camera.id in platform.channels
    return camera.enabled and camera.expose and is_named and camera.gb_id is not None


def _channel(camera: Camera, site: str, own_area: str) -> Channel:
    assert camera.gb_id is not None
    archive = camera.archive
    return Channel(
        camera=camera.id,
        gb_id=camera.gb_id,
        name=camera.name,
        civil_code=archive.civil_code or own_area,
        address=archive.address or site,
        manufacturer=archive.manufacturer,
        model=archive.model,
        owner=archive.owner,
        block=archive.block,
        longitude=archive.longitude,
        latitude=archive.latitude,
        install_time=archive.install_time,
        contact=archive.contact,
        management_unit=archive.management_unit,
        grassroots_code=archive.grassroots_code,
        point_type=archive.point_type,
        point_name=archive.point_name,
        function_type=archive.function_type,
        position_type=archive.position_type,
        use_type=archive.use_type,
        capture_position_type=archive.capture_position_type,
        imaging_type=archive.imaging_type,
        light_type=archive.light_type,
        direction_type=archive.direction_type,
        room_type=archive.room_type,
        ptz_type=archive.ptz_type,
        mac=archive.mac,
        industry=archive.industry,
    )
