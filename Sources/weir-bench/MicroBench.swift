import Glibc
import WeirBase
import WeirLoop

/// The pure parts by themselves, without sockets (`make bench-micro`): each case runs some thousand operations in one
/// call of `weir_bench_measured`, so that valgrind can count the instructions and allocations of just that. Reports the
/// time of one operation; the counts are the script's (`integration/microbench.py`), which relies on the order.
func microBench(_ options: Options) throws {
    let factor = try options.number("factor", 1)
    for each in MicroCases.all {
        let work = each.prepare()
        let body = { for _ in 0..<(each.rounds * factor) { work() } }
        body()
        let before = Loop.monotonicNow()
        measure(body)
        let time = Loop.monotonicNow() - before
        let operations = each.rounds * factor * each.operationsPerRound
        report(
            "micro",
            [
                ("case", "\"\(each.name)\""), ("operations", String(operations)),
                ("ns", String(Double(time.rawValue) / Double(operations))),
            ])
    }
}

/// Something to do again and again.
struct MicroCase {
    let name: String
    /// Calls of what `prepare` gives.
    let rounds: Int
    /// What one of these calls counts for.
    let operationsPerRound: Int
    let prepare: () -> () -> Void

    init(_ name: String, rounds: Int, of operations: Int = 1, prepare: @escaping () -> () -> Void) {
        self.name = name
        self.rounds = rounds
        self.operationsPerRound = operations
        self.prepare = prepare
    }
}

private final class Work {
    let body: () -> Void

    init(_ body: @escaping () -> Void) { self.body = body }
}

private func measure(_ body: @escaping () -> Void) {
    let work = Work(body)
    withExtendedLifetime(work) { unsafe microMeasured(Unmanaged.passUnretained(work).toOpaque()) }
}

/// What valgrind is told to count.
@c(weir_bench_measured) @inline(never)
func microMeasured(_ context: UnsafeMutableRawPointer?) {
    guard let context = unsafe context else { return }
    unsafe Unmanaged<Work>.fromOpaque(context).takeUnretainedValue().body()
}
