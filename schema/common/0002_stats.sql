-- What people read: the same over either stats_5m. `time` is the END of the window, UTC.
--   time                  customer  content  cdn      p2p     sessions
--   2026-01-01 12:05:00Z  acme      film-7   4500000  120000  1
CREATE VIEW stats AS
SELECT bucket + INTERVAL '5 minutes' AS time, customer, content, cdn, p2p, sessions
FROM stats_5m;
