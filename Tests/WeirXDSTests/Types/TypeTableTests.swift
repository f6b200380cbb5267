import Testing

@testable import WeirXDS

@Suite struct TypeTableTests {
    @Test("every known type is found by its URL and its short name")
    func lookup() {
        for type in XDSType.known {
            #expect(XDSType.of(typeURL: type.typeURL) == type)
            #expect(type.typeURL.hasPrefix("type.googleapis.com/"))
            if let name = type.shortName { #expect(XDSType.named(name) == type) }
        }
        #expect(XDSType.named("xyz") == nil)
        #expect(Set(XDSType.known.map(\.typeURL)).count == XDSType.known.count)
        #expect(Set(XDSType.known.map(\.pushOrder)).count == XDSType.known.count)
    }

    @Test("ORD-01 clusters go before endpoints, listeners before routes")
    func pushOrder() {
        let order: [XDSType] = [.cds, .eds, .lds, .srds, .rds, .vhds, .sds]
        #expect(order.map(\.pushOrder) == order.map(\.pushOrder).sorted())
        #expect(XDSType.of(typeURL: "example.com/unknown").pushOrder > order.map(\.pushOrder).max() ?? 0)
    }

    @Test("SOTW-05 SOTW-08 NAME-15 which types are sent whole, and which take an empty list for everything")
    func rules() {
        #expect(XDSType.known.filter(\.isFullSet) == [.cds, .lds, .srds, .rateLimitConfig])
        #expect(
            XDSType.known.filter(\.acceptsLegacyWildcard) == [.cds, .lds, .srds, .vhds, .fcds, .rateLimitConfig])
        #expect(XDSType.known.filter(\.isDeltaOnly) == [.leds, .vhds])
        let unknown = XDSType.of(typeURL: "type.googleapis.com/acme.Widget")
        #expect(unknown.acceptsLegacyWildcard && !unknown.isFullSet && !unknown.isDeltaOnly)
        #expect(unknown.shortName == nil && unknown.nameField == nil)
        #expect(unknown.label == "type.googleapis.com/acme.Widget")
    }

    @Test("WIRE-01 every discovery method is found by its exact path")
    func services() {
        for service in DiscoveryService.all { #expect(DiscoveryService.at(path: service.path) == service) }
        #expect(DiscoveryService.all.count == 23)
        #expect(DiscoveryService.at(path: "/envoy.service.listener.v3.ListenerDiscoveryService/streamlisteners") == nil)
        #expect(DiscoveryService.at(path: "") == nil)
        let ads = DiscoveryService.at(path: DiscoveryService.streamAggregatedPath)
        #expect(ads?.variant == .sotw && ads?.type == nil && ads?.label == "ads")
        #expect(DiscoveryService.at(path: DiscoveryService.deltaAggregatedPath)?.variant == .delta)
    }

    @Test("NAME-12 XLT-10 types that exist in delta only have no SotW method")
    func deltaOnly() {
        for service in DiscoveryService.all where service.type?.isDeltaOnly == true {
            #expect(service.variant == .delta)
        }
    }
}
