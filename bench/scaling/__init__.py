"""What more workers and more Redis servers bring: processor time of a group, lines a second of one Redis, a replay."""
