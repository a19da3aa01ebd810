-- session_message as a hypertable by the message's own time: what keeps, compresses and drops it is how old the message is. Times are bounded
-- when they come in, to the retention and a few minutes ahead, so that no client's clock can make chunks far away.

SELECT create_hypertable('session_message', by_range('time', INTERVAL '6 hours'), create_default_indexes => false);
CREATE INDEX session_message_time ON session_message USING brin (time);
CREATE INDEX session_message_session ON session_message (session, time);

-- A session is read as a whole, and looked for by its name when its log comes in.
ALTER TABLE session_message SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'session', timescaledb.orderby = 'time');
