"""The databases to compare with, each in memory with two threads: the same rows, the same questions."""

import time


class DuckDB:
    name = "duckdb"

    def __init__(self, csv, threads):
        import duckdb

        self.version = duckdb.__version__
        self.connection = duckdb.connect(":memory:", config={"threads": threads})
        started = time.perf_counter()
        self.connection.execute(
            f"CREATE TABLE flights AS SELECT * FROM read_csv('{csv}', nullstr='NA', header=true)")
        self.load_seconds = time.perf_counter() - started

    def ask(self, query):
        cursor = self.connection.execute(query.sql)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row)) for row in cursor.fetchall()]

    def bytes_held(self):
        return self.connection.execute("SELECT sum(memory_usage_bytes) FROM duckdb_memory()").fetchone()[0]


class ClickHouse:
    name = "clickhouse"
    INTEGERS = (
        "year month day dep_time sched_dep_time dep_delay arr_time sched_arr_time arr_delay flight air_time distance "
        "hour minute"
    ).split()
    NULLABLE = {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "tailnum"}
    COLUMNS = (
        "year month day dep_time sched_dep_time dep_delay arr_time sched_arr_time arr_delay carrier flight tailnum "
        "origin dest air_time distance hour minute time_hour"
    ).split()

    def __init__(self, csv, threads):
        import chdb
        from chdb import session

        self.version = chdb.__version__
        self.session = session.Session()
        self.threads = threads
        columns = ", ".join(f"{name} {self._type(name)}" for name in self.COLUMNS)
        read = ", ".join(f"{name} {self._type(name, 'String')}" for name in self.COLUMNS)
        started = time.perf_counter()
        self.session.query("CREATE DATABASE IF NOT EXISTS bench")
        self.session.query(f"CREATE TABLE bench.flights ({columns}) ENGINE = Memory")
        self.session.query(
            f"INSERT INTO bench.flights SELECT * FROM file('{csv}', CSVWithNames, '{read}') "
            "SETTINGS format_csv_null_representation='NA', date_time_input_format='best_effort', max_threads=2")
        self.load_seconds = time.perf_counter() - started

    def _type(self, name, text="LowCardinality"):
        if name in self.INTEGERS:
            kind = "Int32"
        elif name == "time_hour":
            kind = "DateTime"
        else:
            kind = "String"
            if text == "LowCardinality":
                return f"LowCardinality({'Nullable(String)' if name in self.NULLABLE else 'String'})"
        return f"Nullable({kind})" if name in self.NULLABLE else kind

    def ask(self, query):
        import json

        sql = query.clickhouse_sql().replace("FROM flights", "FROM bench.flights")
        text = self.session.query(
            f"{sql} SETTINGS max_threads={self.threads}, output_format_json_quote_64bit_integers=0", "JSON").bytes()
        return json.loads(text)["data"]

    def bytes_held(self):
        import json

        sql = "SELECT total_bytes AS b FROM system.tables WHERE database='bench' AND name='flights'"
        text = self.session.query(f"{sql} SETTINGS output_format_json_quote_64bit_integers=0", "JSON").bytes()
        return json.loads(text)["data"][0]["b"]


def available(csv, threads, wanted):
    """Those that are installed and were asked for; a line for each that is not."""
    peers = []
    for kind in (DuckDB, ClickHouse):
        if kind.name not in wanted:
            continue
        try:
            peers.append(kind(csv, threads))
        except ImportError as problem:
            print(f"{kind.name}: skipped, {problem}")
    return peers
