"""Groups lines of alerts into incidents, by DuckDB, as a person with the lines alone would.

In, on stdin: lines as `recon run` writes them. The first argument is the folder with the queries
for SIEMs.
Out, on stdout: a JSON object. `groups` has a row for each `event.id`: what its lines agree on, and
what they differ in. `sentinel` has the rows of incidents.kql, run by a translator from KQL to
DuckDB's SQL. `elastic` has those of incidents.esql, translated here: the functions that it uses
have the same names in SQL, or get them. `last` has the last message of each `event.id`.
"""

import json
import pathlib
import re
import sys

import duckdb_kql

# After a kill, a line may be there twice: docs/alerts.md says what two such lines agree in.
LINES = """
CREATE TABLE lines AS
SELECT line FROM (SELECT unnest(CAST(? AS JSON[])) AS line)
WHERE line ->> '$.event.kind' = 'alert'
QUALIFY row_number() OVER (
    PARTITION BY line ->> '$.event.id', line ->> '$.event.action', line ->> '$."@timestamp"') = 1
"""
LAST = """
SELECT "event.id" AS id, last(message ORDER BY "@timestamp", "event.sequence") AS message
FROM fields
GROUP BY id
"""
# A field of ECS, as ES|QL names it.
FIELD = r"(?<![\w'.-])(@timestamp|[a-z]+\.[a-z_.]+)\b"
TYPES = {
    "@timestamp": "TIMESTAMP",
    "event.start": "TIMESTAMP",
    "event.end": "TIMESTAMP",
    "event.sequence": "BIGINT",
    "event.severity": "BIGINT",
    "recon.count": "BIGINT",
}
# Elasticsearch keeps times to the millisecond.
TO_STRING = "CREATE MACRO to_string(time) AS strftime(time, '%Y-%m-%dT%H:%M:%S.%gZ')"
GROUPS = """
SELECT
    line ->> '$.event.id' AS id,
    count(*) AS lines,
    list(DISTINCT line ->> '$.rule.id') AS rules,
    list(DISTINCT coalesce(line ->> '$.source.address', line ->> '$.recon.source_network')) AS sources,
    list(DISTINCT concat_ws(' ', line ->> '$.destination.address', line ->> '$.destination.port')) AS destinations,
    list_sort(list(DISTINCT line ->> '$.process.pid')) AS processes,
    list(DISTINCT line ->> '$.network.direction') AS directions,
    list(line ->> '$.event.action' ORDER BY
        CAST(line ->> '$."@timestamp"' AS TIMESTAMPTZ),
        CAST(line ->> '$.event.sequence' AS BIGINT)) AS actions,
    bool_and(CAST(line ->> '$.event.start' AS TIMESTAMPTZ)
        <= CAST(line ->> '$.event.end' AS TIMESTAMPTZ)) AS is_ordered
FROM lines
WHERE line ->> '$.event.action' <> 'left_out'
GROUP BY id
ORDER BY id
"""


def rows(database, query):
    """The rows of a query, by the names of their columns."""
    found = database.execute(query)
    names = [name for name, *_ in found.description]
    return [dict(zip(names, row)) for row in found.fetchall()]


def column(field):
    """A field of a line, as a column of that name."""
    path = ".".join(f'"{part}"' for part in field.split("."))
    return f"""CAST(line ->> '$.{path}' AS {TYPES.get(field, "VARCHAR")}) AS "{field}" """


def esql_to_sql(esql):
    """A query of ES|QL as SQL over `fields`: each stage selects from the one before."""
    esql = re.sub(r"^//.*\n", "", esql, flags=re.MULTILINE)
    esql = re.sub(r'"([^"]*)"', r"'\1'", esql).replace("==", "=")
    esql = re.sub(FIELD, r'"\g<0>"', esql)
    esql = re.sub(r"\bVALUES\(", "list(DISTINCT ", esql)
    source, *stages = re.split(r"^\| ", esql, flags=re.MULTILINE)
    assert source.startswith("FROM "), source
    sql = "SELECT * FROM fields"
    for stage in stages:
        kind, rest = stage.split(None, 1)
        columns, _, by = rest.partition(" BY ")
        named = ", ".join(
            f"{value} AS {name}"
            for name, value in re.findall(r"^\s*(\w+) = (.+?),?$", columns, re.MULTILINE)
        )
        sql = {
            "WHERE": f"SELECT * FROM ({sql}) WHERE {rest}",
            "EVAL": f"SELECT *, {named} FROM ({sql})",
            "STATS": f"SELECT {named}, {by} FROM ({sql}) GROUP BY {by}",
            "DROP": f"SELECT * EXCLUDE ({rest}) FROM ({sql})",
            "SORT": f"SELECT * FROM ({sql}) ORDER BY {rest}",
        }[kind]
    return sql


def main():
    siem = pathlib.Path(sys.argv[1])
    lines = [json.loads(line) for line in sys.stdin]
    database = duckdb_kql.connect()
    database.execute("SET threads = 1")
    database.execute("SET TimeZone = 'UTC'")
    database.execute(LINES, [json.dumps(lines)])
    database.execute("CREATE VIEW Recon_CL AS SELECT CAST(line AS VARCHAR) AS RawData FROM lines")
    esql = (siem / "incidents.esql").read_text()
    names = {*re.findall(FIELD, esql), *TYPES, "event.id", "message"}
    columns = ", ".join(map(column, names))
    database.execute(f"CREATE VIEW fields AS SELECT {columns} FROM lines")
    database.execute(TO_STRING)
    kql = duckdb_kql.to_sql((siem / "incidents.kql").read_text())
    found = {
        "groups": rows(database, GROUPS),
        "sentinel": rows(database, f"SELECT EventId, Lines, Rule, Message FROM ({kql})"),
        "elastic": rows(database, f'SELECT "event.id" AS id, message FROM ({esql_to_sql(esql)})'),
        "last": rows(database, LAST),
    }
    print(json.dumps(found))


main()
