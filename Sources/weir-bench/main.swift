// The benchmark's own ends: a load client, an origin to change things, and the raw write loop to compare with; and
// clients that know what they hold, for `make chaos` and `make soak`.
// `integration/benchmark.py` starts them beside weir and makes the tables (docs/performance.md).
import Glibc

let arguments = Array(CommandLine.arguments.dropFirst())
do {
    let options = try Options(Array(arguments.dropFirst()))
    switch arguments.first {
    case "load": try LoadClient(options).run()
    case "origin": try BenchOrigin(options).run()
    case "follow": try FollowClient(options).run()
    case "raw": try rawWriteLoop(options)
    case "raw-cold": try rawColdSync(options)
    case "micro": try microBench(options)
    case "handshakes": try bareHandshakes(options)
    default: throw UsageError("expected load, origin, follow, raw, raw-cold, micro or handshakes")
    }
} catch {
    complain("weir-bench: \(error)")
    exit(2)
}
