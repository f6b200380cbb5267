import Testing
import WeirBase

@testable import WeirConfig

private let rest = """
    upstreams: {primary: {servers: ["cp:1"]}}
    aggregation: {rules: [{key: k}]}

    """

@Suite("checks")
struct ChecksTests {
    @Test("by default nothing is asked of control planes, and every worker looks at itself")
    func defaults() throws {
        let (loaded, messages) = try Folder(["relay.yaml": rest]).load()
        #expect(messages.isEmpty && loaded?.checks == CheckConfiguration())
        #expect(loaded?.checks.drift.interval == .zero && loaded?.checks.freshness.interval == .seconds(10))
    }

    @Test("values")
    func values() throws {
        let checks = """
            checks:
              drift: {interval: 10m, confirm_after: 20s, timeout: 7s, heal: true}
              freshness: {interval: 0s, max_lag: 2s}

            """
        let (loaded, messages) = try Folder(["relay.yaml": rest + checks]).load()
        #expect(messages.isEmpty)
        var wanted = CheckConfiguration()
        wanted.drift.interval = .seconds(600)
        wanted.drift.confirmAfter = .seconds(20)
        wanted.drift.timeout = .seconds(7)
        wanted.drift.heals = true
        wanted.freshness.interval = .zero
        wanted.freshness.lagMax = .seconds(2)
        #expect(loaded?.checks == wanted)
    }

    @Test(
        "what cannot be meant is said",
        arguments: [
            ("drift: {interval: 10ms}", "checks.drift.interval"), ("drift: {heal: maybe}", "checks.drift.heal"),
            ("freshness: {max_lag: 0s}", "checks.freshness.max_lag"), ("drifts: {}", "did you mean \"drift\"?"),
        ])
    func mistakes(_ text: String, _ message: String) throws {
        let (_, messages) = try Folder(["relay.yaml": rest + "checks: {\(text)}\n"]).load()
        #expect(messages.count == 1 && messages[0].contains(message))
    }
}
