import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

/// What a server that is not in use is asked, to see whether it answers.
@Suite struct TrialRequestTests {
    private func text(_ message: [UInt8], _ variant: ProtocolVariant) throws -> String {
        let span = message.span
        if variant == .sotw {
            let request = try DiscoveryRequest(decoding: span)
            let names = request.resourceNames.map { span.string($0) }
            let version = span.string(request.versionInfo)
            return
                "\(request.node != nil) \(XDSType.of(typeURL: span.string(request.typeURL)).label) \(names) \(version)"
        }
        let request = try DeltaDiscoveryRequest(decoding: span)
        let names = request.subscribe.map { span.string($0) }
        let held = request.initialVersions.count
        return "\(request.node != nil) \(XDSType.of(typeURL: span.string(request.typeURL)).label) \(names) \(held)"
    }

    @Test("UP-09 it is asked as a newcomer asks: with the node, without versions", arguments: ProtocolVariant.allCases)
    func request(_ variant: ProtocolVariant) throws {
        let h = HomeHarness(variant)
        h.join()
        #expect(h.group.trialRequest(variant) == nil)
        h.want(.eds, ["b", "a"])
        h.open()
        let early = try #require(h.group.trialRequest(variant))
        #expect(!early.wasAnswered)
        if variant == .sotw { h.sotw(.eds, "7", "n1", ["a@1"]) } else { h.delta(.eds, "n1", ["a@1"]) }
        let late = try #require(h.group.trialRequest(variant))
        #expect(late.wasAnswered)
        let expected = variant == .sotw ? "true eds [\"a\", \"b\"] " : "true eds [\"a\", \"b\"] 0"
        #expect(try self.text(late.message, variant) == expected)
        // The one in use may be spoken to in the other variant.
        let other: ProtocolVariant = variant == .sotw ? .delta : .sotw
        let message = try #require(h.group.trialRequest(other)?.message)
        #expect(try self.text(message, other).hasPrefix("true eds [\"a\", \"b\"]"))
    }

    @Test("UP-09 of several types one is asked for that the server in use has answered")
    func answered() throws {
        let h = HomeHarness(.delta)
        h.join()
        h.want(.cds, wildcard: true)
        h.want(.eds, ["a"])
        h.open()
        h.delta(.eds, "n1", ["a@1"])
        let trial = try #require(h.group.trialRequest(.delta))
        #expect(trial.wasAnswered)
        #expect(try self.text(trial.message, .delta) == "true eds [\"a\"] 0")
    }
}
