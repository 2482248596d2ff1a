"""The functions a query may call. Everything else the engine knows, or learns in a later release, is not there.

Left out, and why: `version`, `input_file_name`, `file_row_index` tell of the engine and of files; `repeat`, `lpad`,
`rpad`, `array_resize`, `array_repeat`, `generate_series`, `range` (and their other names) take any amount of memory by
one argument; the vector and metadata functions have no use here. Decided to stay: `now` and its kin, because "changed
since yesterday" is the commonest question of all; `random` and `uuid`, which touch nothing. Source: A-26.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datafusion import SessionContext

_NUMBERS: Final = """
    abs acos acosh asin asinh atan atan2 atanh cbrt ceil cos cosh cot degrees exp factorial floor gcd isnan iszero lcm
    ln log log10 log2 nanvl pi pow power radians rand random round signum sin sinh sqrt tan tanh trunc
"""
_TEXTS: Final = """
    ascii bit_length btrim char_length character_length chr concat concat_ws contains decode digest encode ends_with
    find_in_set initcap instr left length levenshtein lower ltrim md5 octet_length overlay position regexp_count
    regexp_instr regexp_like regexp_match regexp_replace replace reverse right rtrim sha224 sha256 sha384 sha512
    split_part starts_with string_to_array string_to_list strpos substr substr_index substring substring_index to_hex
    translate trim upper uuid
"""
_TIMES: Final = """
    current_date current_time current_timestamp date_bin date_format date_part date_trunc datepart datetrunc
    from_unixtime make_date make_time now to_char to_date to_local_time to_time to_timestamp to_timestamp_micros
    to_timestamp_millis to_timestamp_nanos to_timestamp_seconds to_unixtime today
"""
_CHOICES: Final = "coalesce greatest ifnull least nullif nvl nvl2"
_SHAPES: Final = """
    array_any_value array_append array_cat array_compact array_concat array_contains array_dims array_distinct
    array_element array_empty array_except array_extract array_has array_has_all array_has_any array_indexof
    array_intersect array_join array_length array_max array_min array_ndims array_pop_back array_pop_front
    array_position array_positions array_prepend array_push_back array_push_front array_remove array_remove_all
    array_remove_n array_replace array_replace_all array_replace_n array_reverse array_slice array_sort array_sum
    array_to_string array_union arrays_overlap arrow_cast arrow_try_cast arrow_typeof cardinality element_at empty
    flatten get_field list_any_value list_append list_cat list_compact list_concat list_contains list_dims
    list_distinct list_element list_empty list_except list_extract list_has list_has_all list_has_any list_indexof
    list_intersect list_join list_length list_max list_ndims list_pop_back list_pop_front list_position list_positions
    list_prepend list_push_back list_push_front list_remove list_remove_all list_remove_n list_replace list_replace_all
    list_replace_n list_reverse list_slice list_sort list_sum list_to_string list_union make_array make_list map
    map_entries map_extract map_keys map_values named_struct row struct
"""

SCALAR: Final = frozenset(f"{_NUMBERS} {_TEXTS} {_TIMES} {_CHOICES} {_SHAPES}".split())
"""Scalar functions a query may call."""

_AGGREGATES: Final = """
    any_value approx_distinct approx_median approx_percentile_cont approx_percentile_cont_with_weight array_agg avg
    bit_and bit_or bit_xor bool_and bool_or corr count covar covar_pop covar_samp first_value grouping last_value max
    mean median min nth_value percentile_cont quantile_cont regr_avgx regr_avgy regr_count regr_intercept regr_r2
    regr_slope regr_sxx regr_sxy regr_syy stddev stddev_pop stddev_samp string_agg sum var var_pop var_population
    var_samp var_sample
"""
_WINDOWS: Final = """
    cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number
"""
AGGREGATE: Final = frozenset(_AGGREGATES.split())
"""Aggregate functions a query may call."""

WINDOW: Final = frozenset(_WINDOWS.split())
"""Window functions a query may call, besides the aggregates."""

TABLE: Final[frozenset[str]] = frozenset()
"""Table functions a query may call: none."""

_TABLE_FUNCTIONS: Final = ("generate_series", "range")


def keep_allowed(context: "SessionContext") -> None:
    """Take everything out of a session that is not on the lists."""
    scalar, aggregate, window = _unwanted()
    for name in _TABLE_FUNCTIONS:
        context.deregister_udtf(name)
    for name in scalar:
        context.deregister_udf(name)
    for name in aggregate:
        context.deregister_udaf(name)
    for name in window:
        context.deregister_udwf(name)


@lru_cache(maxsize=1)
def _unwanted() -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """What this release of the engine offers beyond the lists; asked once, because asking builds the lists."""
    from datafusion import SessionContext  # noqa: PLC0415  # loads the engine

    fresh = SessionContext()
    return (
        tuple(sorted(set(fresh.udfs()) - SCALAR)),
        tuple(sorted(set(fresh.udafs()) - AGGREGATE)),
        tuple(sorted(set(fresh.udwfs()) - WINDOW)),
    )
