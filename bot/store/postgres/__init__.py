"""What a PostgreSQL server adds (extra `postgres`): several bot processes on one database."""
