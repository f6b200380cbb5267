import Testing
import WeirBase

@testable import WeirLoop

@Suite("Resolver")
struct ResolverTests {
    @Test("localhost has a loopback address with the port asked for, told on the asking loop")
    func localhost() throws {
        let loop = Loop()
        let client = ResolverClient(loop: loop, resolver: Resolver())
        var result: ResolveResult?
        client.resolve(.tcp(host: "localhost", port: 4242)) { [unowned loop] answer in
            result = answer
            loop.stop()
        }
        runBounded(loop)
        guard case .addresses(let addresses)? = result else {
            Issue.record("\(String(describing: result))")
            return
        }
        #expect(addresses.contains { ["127.0.0.1", "::1"].contains($0.host) })
        #expect(addresses.allSatisfy { $0.port == 4242 })
    }

    @Test("a numeric host is answered without the thread, but not before the call returns")
    func numeric() {
        let loop = Loop()
        let client = ResolverClient(loop: loop, resolver: Resolver())
        var results: [ResolveResult] = []
        client.resolve(.tcp(host: "10.0.0.1", port: 80)) { results.append($0) }
        client.resolve(.unix(path: "/s")) { [unowned loop] answer in
            results.append(answer)
            loop.stop()
        }
        #expect(results.isEmpty)
        runBounded(loop)
        #expect(
            results == [.addresses([.v4(address: 0x0A00_0001, port: 80)]), .addresses([.unix(path: "/s")])])
    }

    @Test("an unknown name fails with its name in the text; a cancelled look-up stays silent")
    func unknown() {
        let loop = Loop()
        let client = ResolverClient(loop: loop, resolver: Resolver())
        var text = ""
        var cancelledAnswered = false
        let cancelled = client.resolve(.tcp(host: "localhost", port: 1)) { _ in cancelledAnswered = true }
        client.cancel(cancelled)
        // A label longer than 63 bytes cannot be looked up anywhere, so no network is asked.
        let name = String(repeating: "x", count: 70) + ".invalid"
        client.resolve(.tcp(host: name, port: 1)) { [unowned loop] answer in
            if case .failed(let reason) = answer { text = reason }
            loop.stop()
        }
        runBounded(loop)
        #expect(text.contains("cannot resolve \"\(name)\""))
        #expect(!cancelledAnswered)
    }
}
