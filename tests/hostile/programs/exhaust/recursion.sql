-- tries: Have a database compute and sort without end.
-- timeout: 5
-- gvisor: stopped or limited or ended
-- container: stopped or limited or ended
PRAGMA cache_size = 1000000;
WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*), max(x), group_concat(x) FROM n;
