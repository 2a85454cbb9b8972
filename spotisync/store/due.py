"""Batches that are due and that nobody has: for conditions of a run `r`, with the app's client id as :client_id."""

from spotisync.store.runs import ACCOUNT_FREE, BLOCKED, CLAIMANT_GONE

NOBODY_HAS_IT = f"""(r.status = 'in_progress' AND (r.claim IS NULL OR {CLAIMANT_GONE})
        AND (r.not_before IS NULL OR r.not_before <= now())
    OR r.status = 'rate_limited' AND NOT {BLOCKED}
    OR r.status = 'pending' AND {ACCOUNT_FREE})"""
# Since its run last moved, or since what it waited for was over.
DUE_SINCE = """GREATEST(r.started_at, r.not_before,
    (SELECT max(s.updated_at) FROM sync_state s WHERE s.sync_id = r.id),
    (SELECT max(s.rate_limit_reset_at) FROM sync_state s WHERE s.sync_id = r.id AND s.rate_limit_reset_at <= now()),
    (SELECT max(l.blocked_until) FROM rate_limits l WHERE l.client_id = :client_id AND l.family IN (r.family, '*')
        AND l.blocked_until <= now()))"""
