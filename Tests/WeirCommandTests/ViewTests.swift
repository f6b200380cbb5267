import Testing
import WeirBase
import WeirConfig

@testable import weir

func readText(_ path: String) throws -> String { String(decoding: try readFile(path), as: UTF8.self) }

private func json(_ text: String) throws -> JSONValue { try parseJSON(Array(text.utf8)) }

private let plain = Screen()

/// Lines with runs of spaces made one, so that tests say what stands in a table and not how wide it is.
private func rows(_ text: String) -> [String] {
    text.split(separator: "\n").map { $0.split(separator: " ").joined(separator: " ") }
}

private let clients = """
    [{"node":"a","cluster":"web","peer":"10.0.0.1:1","key":"web","service":"ads","protocol":"delta",
      "since":"2026-01-31T12:00:00Z","types":{
        "cds":{"subscribed":"*","sent":"7","acked":"7","state":"acked","nack":null},
        "eds":{"subscribed":["a","b","c","d"],"sent":"9","acked":"8","state":"nacked",
               "nack":{"version":"9","message":"bad\\u001b[2J","at":"2026-01-31T12:00:01Z"}}}},
     {"node":"b","cluster":"web","peer":"10.0.0.2:1","key":"web","service":"cds","protocol":"sotw","since":"x",
      "types":{"cds":{"subscribed":"*","sent":"7","acked":"","state":"sent","nack":null}}},
     {"node":"b","cluster":"web","peer":"10.0.0.2:1","key":"web","service":"eds","protocol":"sotw","since":"x",
      "types":{"eds":{"subscribed":["a"],"sent":"","acked":"","state":"waiting","nack":null}}},
     {"node":"c","cluster":"web","peer":"10.0.0.3:1","key":"web","service":"ads","protocol":"sotw","since":"x",
      "types":{"cds":{"subscribed":"*","sent":"7","acked":"7","state":"acked","nack":null},
               "type.googleapis.com/x.Thing":{"subscribed":"*","sent":"1","acked":"1","state":"acked","nack":null}}}]
    """

@Suite("What commands for a running relay show")
struct ViewTests {
    private func view(unsynced: Bool = false) throws -> StatusView {
        let upstreams = """
            [{"name":"primary","protocol":"delta","streams":1,"servers":[
              {"address":"10.0.0.9:1","state":"failed","last_error":"connection refused","connected_since":null}]}]
            """
        return StatusView(
            address: "http://x:1",
            info: try json(#"{"version":"1.2.3","uptime_seconds":3725,"workers":1,"config":"r.yaml"}"#),
            ready: try json(#"{"state":"LIVE","degraded":["upstream primary: refused"]}"#),
            upstreams: try json(upstreams).elements, streams: try json(clients).elements, onlyUnsynced: unsynced)
    }

    @Test("status: what degrades first, then upstreams, then a line for each client, the worst first")
    func status() throws {
        #expect(
            rows(try self.view().text(plain)) == [
                "weir 1.2.3 at http://x:1: LIVE for 1h2m, 1 worker, r.yaml",
                "degraded: upstream primary: refused",
                "UPSTREAM PROTOCOL STREAMS SERVER STATE SINCE LAST ERROR",
                "primary delta 1 10.0.0.9:1 failed - connection refused",
                "3 clients in 1 key, 1 SYNCED, 1 STALE, 1 NACK",
                "NODE KEY CDS EDS Thing PROTOCOL PEER",
                "a web SYNCED NACK - delta 10.0.0.1:1",
                "b web STALE NOT SENT - sotw 10.0.0.2:1",
                "c web SYNCED - SYNCED sotw 10.0.0.3:1",
                #"NACK a: eds version 9 at 2026-01-31T12:00:01Z: bad\u{1b}[2J"#,
            ])
        let unsynced = rows(try self.view(unsynced: true).text(plain))
        #expect(!unsynced.contains { $0.hasPrefix("c ") } && unsynced.contains { $0.hasPrefix("b ") })
    }

    @Test("colours stand around words and do not change the columns; without colours there is no escape at all")
    func colours() throws {
        let coloured = try self.view().text(Screen(isColoured: true))
        #expect(coloured.contains("\u{1B}[31mNACK\u{1B}[0m") && coloured.contains("\u{1B}[32mSYNCED\u{1B}[0m"))
        var bare = ""
        var isCode = false
        for scalar in coloured.unicodeScalars {
            if scalar == "\u{1B}" { isCode = true }
            if !isCode { bare.unicodeScalars.append(scalar) }
            if scalar == "m" { isCode = false }
        }
        #expect(bare == (try self.view().text(plain)))
    }

    @Test("what others wrote cannot move the cursor or turn writing round")
    func escapes() {
        #expect(
            printable("a\u{1B}[2J\n\t\u{7F}\u{9B}\u{202E}\u{FEFF}\u{E9}")
                == #"a\u{1b}[2J\n\t\u{7f}\u{9b}\u{202e}\u{feff}"# + "\u{E9}")
    }

    @Test("keys: a line for each type, and why something is held below")
    func keys() throws {
        let keys = try json(
            """
            [{"key":"web","upstream":{"name":"primary","server":"s","state":"connected"},"stale":false,"streams":2,
              "types":{"eds":{"version":"9","resources":2,"bytes":180,"streams":2,"acked":1,"nacked":1,"pending":0,
                "updated":"t","stale":true,"held":{"reason":"empty","since":"s","version":"8","changes":2,"detail":"why"},
                "rollout":{"version":"8","first":3,"accepted":2,"rejected":0},
                "history":[{"version":"6"},{"version":"5"}]}}},
             {"key":"idle","upstream":{"name":"primary","state":"disconnected"},"streams":0,"types":{}}]
            """)
        #expect(
            rows(keysText(keys.elements, plain)) == [
                "KEY UPSTREAM STATE TYPE VERSION RESOURCES BYTES STREAMS ACKED PENDING NACKED UPDATED HELD EARLIER",
                "web primary connected eds 9 2 180 2 1 0 1 t empty 6,5",
                "idle primary disconnected - - - - - - - - - - -",
                "held (empty): eds of web, version 8, since s: why",
                "rollout: eds of web, version 8: first 3, accepted 2, rejected 0",
                "stale: eds of web: its upstream has not confirmed it",
            ])
        #expect(keysText([], plain) == "no keys\n")
    }

    @Test("clients: a line for each stream and type")
    func clientList() throws {
        let lines = rows(clientsText(try json(clients).elements, plain))
        #expect(lines[1] == "a web web ads delta 10.0.0.1:1 2026-01-31T12:00:00Z cds SYNCED 7 7 *")
        #expect(lines[2] == "a web web ads delta 10.0.0.1:1 2026-01-31T12:00:00Z eds NACK 9 8 a,b,c and 1 more")
        #expect(lines[4] == "b web web eds sotw 10.0.0.2:1 x eds NOT SENT - - a")
        #expect(lines.count == 8 && clientsText([], plain) == "no clients\n")
    }

    @Test("dump: a table, and the content where it is asked for")
    func dump() throws {
        let resources = try json(
            #"[{"key":"web","type_url":"type.googleapis.com/x.C","name":"a","version":"7","updated":null,"resource":{"n":[1,{}],"e":[]}}]"#
        ).elements
        #expect(
            rows(dumpText(resources, withBodies: false, plain)) == ["KEY TYPE NAME VERSION UPDATED", "web x.C a 7 -"])
        let body = "{\n  \"n\": [\n    1,\n    {}\n  ],\n  \"e\": []\n}\n"
        #expect(dumpText(resources, withBodies: true, plain).hasSuffix("\n\n" + body))
        #expect(dumpText([], withBodies: true, plain) == "no resources\n")
    }

    @Test("history: counts, outcome and times, and who rejected")
    func history() throws {
        let pushes = try json(
            """
            [{"id":12,"key":"web","type":"cds","version":"8","at":"T","upstream":"primary","added":["a"],"changed":[],
              "removed":["b","c"],"outcome":"sent","written_ms":1.25,"acked_ms":null,
              "nacks":[{"node":"n","message":"no"}]},
             {"id":"0b","key":"web","type":"cds","version":"7","at":"S","upstream":"primary","server":"s","added":["a"],
              "changed":[],"removed":[],"names_left_out":9,"outcome":"held_empty","detail":"why","written_ms":null,
              "acked_ms":null,"nacks":[],"nack_count":30}]
            """)
        #expect(
            rows(historyText(pushes.elements, plain)) == [
                "AT PUSH KEY TYPE VERSION UPSTREAM ADDED CHANGED REMOVED OUTCOME WRITTEN ACKED NACKS",
                "T 12 web cds 8 primary 1 0 2 sent 1.25ms - 1",
                "S 0b web cds 7 primary 1+ 0 0 held_empty - - 30", "NACK n: push 12: no",
                "held_empty: push 0b: why",
            ])
        #expect(historyText([], plain) == "no pushes\n")
    }

    @Test("diff: what came, went and changed, with the fields")
    func diff() throws {
        let diff = try json(
            """
            {"from":"7","to":"8","added":["c"],"removed":["b"],
             "changed":[{"name":"a","fields":[{"path":"connect_timeout","from":"1s","to":"2s"},{"path":"x","to":[1]}],
              "fields_left_out":1}],"left_out":{"added":3,"removed":0}}
            """)
        #expect(
            diffText(diff, key: "web", type: "cds", plain) == """
                cds of web: 7 -> 8
                + c
                - b
                ~ a
                    connect_timeout: "1s" -> "2s"
                    x: (none) -> [1]
                    and 1 field more
                and 3 more added

                """)
        let same = try json(#"{"from":"7","to":"7","added":[],"removed":[],"changed":[]}"#)
        #expect(diffText(same, key: "web", type: "cds", plain).hasSuffix("nothing differs\n"))
    }

    @Test("events: one line each, what is known in a fixed order, the rest after it")
    func events() throws {
        let data = try json(#"{"node":"n","at":"T","type":"cds","key":"web","version":"8","x":1,"detail":"d\u0007"}"#)
        #expect(
            eventText(kind: "nack", data, plain) == #"T  nack       web cds version=8 node=n  d\u{7} x=1"#)
    }

    @Test("spans for people")
    func spans() {
        #expect([5, 65, 3725, 90_000].map { spanText(seconds: $0) } == ["5s", "1m5s", "1h2m", "1d1h"])
    }
}
