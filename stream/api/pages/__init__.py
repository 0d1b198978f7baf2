"""The page for operators and merchants: server-rendered HTML with one style sheet and one small script."""
