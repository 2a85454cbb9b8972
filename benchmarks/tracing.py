"""What the run row goes through, written down by the database itself: nothing in the worker is touched for it."""

TRACE = """
CREATE TABLE trace (at timestamptz, sync_id bigint, event text, phase text, seq int);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.claim IS DISTINCT FROM OLD.claim AND NEW.claim IS NOT NULL THEN
        INSERT INTO trace VALUES (clock_timestamp(), NEW.id, 'claim', NEW.phase, NEW.seq);
    ELSIF (NEW.phase, NEW.seq) IS DISTINCT FROM (OLD.phase, OLD.seq) THEN
        INSERT INTO trace VALUES (clock_timestamp(), NEW.id, 'commit', NEW.phase, NEW.seq);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER note AFTER UPDATE ON sync_history FOR EACH ROW EXECUTE FUNCTION note();
"""
