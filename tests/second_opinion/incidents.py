"""Groups lines of alerts into incidents, by DuckDB, as a person with the lines alone would.

In, on stdin: lines as `recon run` writes them.
Out, on stdout: a JSON array with a row for each `event.id`: what its lines agree on, and what they
differ in.
"""

import json
import sys

import duckdb

INCIDENTS = """
SELECT
    line ->> '$.event.id' AS id,
    count(*) AS lines,
    list(DISTINCT line ->> '$.rule.id') AS rules,
    list(DISTINCT coalesce(line ->> '$.source.address', line ->> '$.recon.source_network')) AS sources,
    list(DISTINCT concat_ws(' ', line ->> '$.destination.address', line ->> '$.destination.port')) AS destinations,
    list_sort(list(DISTINCT line ->> '$.process.pid')) AS processes,
    list(line ->> '$.event.action' ORDER BY CAST(line ->> '$.event.sequence' AS BIGINT)) AS actions,
    count(DISTINCT line ->> '$.event.sequence') AS sequences,
    bool_and(CAST(line ->> '$.event.start' AS TIMESTAMPTZ)
        <= CAST(line ->> '$.event.end' AS TIMESTAMPTZ)) AS is_ordered
FROM (SELECT unnest(CAST(? AS JSON[])) AS line)
WHERE line ->> '$.event.kind' = 'alert' AND line ->> '$.event.action' <> 'left_out'
GROUP BY id
ORDER BY id
"""


def main():
    lines = [json.loads(line) for line in sys.stdin]
    database = duckdb.connect()
    database.execute("SET threads = 1")
    found = database.execute(INCIDENTS, [json.dumps(lines)])
    names = [name for name, *_ in found.description]
    print(json.dumps([dict(zip(names, row)) for row in found.fetchall()]))


main()
