"""Small shared vocabulary: ids, time, scope, keys, limits, errors. No domain noun lives here."""
