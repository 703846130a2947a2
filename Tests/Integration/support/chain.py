"""The pieces of a chain site → cloud that several tests put together."""

from .processes import LOOPBACK, wait_until


def route(topic="sales/#", **more):
    return {"topic": topic, "class": "transaction", **more}


def bridge(port, routes=None, **more):
    """A bridge that reconnects quickly, so that tests need not wait."""
    return {
        "name": "cloud", "address": f"mqtt://{LOOPBACK}:{port}", "restart": {"base": "100ms", "cap": "500ms"},
        "resend_after": "2s", "keepalive_interval": 5, "routes": routes or [route()], **more,
    }


def stored(cloud, site=None):
    """How many messages the aggregator has, gap records aside."""
    statement = "SELECT count(*) FROM messages WHERE topic NOT LIKE 'cw/%'"
    rows = cloud.rows(statement + " AND site = ?", site) if site else cloud.rows(statement)
    return rows[0][0] if rows else 0


def payloads(cloud, site):
    rows = cloud.rows(
        "SELECT payload FROM messages WHERE site = ? AND topic NOT LIKE 'cw/%' ORDER BY epoch, seq", site
    )
    return [bytes(payload).decode() if isinstance(payload, (bytes, memoryview)) else payload for (payload,) in rows]


def missing(cloud):
    """How many numbers are missing from what was announced."""
    rows = cloud.rows("SELECT coalesce(sum(last_seq - first_seq + 1), 0) FROM gaps WHERE state = 'missing'")
    return rows[0][0] if rows else 0


def wait_stored(cloud, count, site=None, seconds=60):
    wait_until(
        lambda: stored(cloud, site) >= count,
        f"{count} messages stored at the cloud", seconds,
    )
    assert stored(cloud, site) == count
