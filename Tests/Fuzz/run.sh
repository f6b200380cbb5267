#!/bin/bash
# Builds the fuzzers and runs each of them for TIME seconds (60), one after the other, as `make fuzz` does.
#
#   TIME=600 Tests/Fuzz/run.sh              all targets, ten minutes each
#   TIME=600 Tests/Fuzz/run.sh http2 files  these two
#
# What they find new is gathered in .build/fuzz/corpus, so that the next run goes on where this one ended. An input that
# is a finding lies in .build/fuzz/findings; the exit status is 1 then.
set -euo pipefail
cd "$(dirname "$0")/../.."
time=${TIME:-60}
targets=${*:-envelope deframing http2 rules config files engine store}
scratch=.build/fuzz

# libFuzzer's runtime without a main function, as SwiftPM makes one of its own.
tools=$(dirname "$(readlink -f "$(command -v swift)")")
runtime=$(ls "$tools"/../lib/clang/*/lib/linux/libclang_rt.fuzzer_no_main-"$(uname -m)".a 2>/dev/null | head -1 || true)
if [ -z "$runtime" ]; then
    echo "this Swift toolchain comes without libFuzzer's runtime (libclang_rt.fuzzer_no_main)" >&2
    exit 2
fi
# What -sanitize=fuzzer,address stands for when compiling; linking differs by that runtime.
coverage=edge,indirect-calls,trace-cmp,inline-8bit-counters,pc-table
WEIR_FUZZ=1 swift build -c release --product weir-fuzz --scratch-path "$scratch/build" \
    -Xswiftc -sanitize=address -Xswiftc -sanitize-coverage="$coverage" -Xswiftc -use-ld=lld \
    -Xcxx -fsanitize=address -Xcxx -fsanitize-coverage="$coverage" -Xlinker "$runtime" -Xlinker -lstdc++

# The crash reporter of Swift would wait for a terminal.
export SWIFT_BACKTRACE=enable=no
mkdir -p "$scratch/findings" "$scratch/logs"
failed=()
for target in $targets; do
    mkdir -p "$scratch/corpus/$target"
    log=$scratch/logs/$target.log
    echo "==> $target: $time s"
    dictionary=()
    if [ -f "Tests/Fuzz/$target.dict" ]; then dictionary=(-dict="Tests/Fuzz/$target.dict"); fi
    status=0
    WEIR_FUZZ_TARGET=$target nice -n 19 "$scratch/build/release/weir-fuzz" \
        -max_total_time="$time" -max_len=4096 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 "${dictionary[@]}" \
        -artifact_prefix="$scratch/findings/$target-" "$scratch/corpus/$target" "Tests/Fuzz/$target" \
        >"$log" 2>&1 || status=$?
    grep -E '^#[0-9]+' "$log" | tail -1 | cut -c1-100 || true
    if [ "$status" != 0 ]; then
        failed+=("$target")
        grep -E '^FINDING|ERROR: |SUMMARY: |Test unit written' "$log" || tail -20 "$log"
        echo "    all of it: $log"
    fi
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "findings: ${failed[*]}; each input lies in $scratch/findings" >&2
    exit 1
fi
echo "no findings"
