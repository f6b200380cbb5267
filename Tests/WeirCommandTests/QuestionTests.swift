import Testing
import WeirBase

@testable import weir

private func question(_ arguments: String...) throws -> Question? {
    guard case .ask(let question) = try Command(arguments) else { return nil }
    return question
}

private func usageError(_ arguments: String...) -> String? {
    do {
        _ = try Command(arguments)
        return nil
    } catch {
        return error.message
    }
}

@Suite("Commands for a running relay")
struct QuestionTests {
    @Test("options and plain words become a question")
    func questions() throws {
        var hold = Question(.hold)
        hold.key = "web"
        hold.type = "cds"
        #expect(try question("hold", "--key", "web", "--type=cds") == hold)
        #expect(try question("hold", "web", "cds") == hold, "plain words stand for the options in their order")
        hold.access.url = "http://relay:1"
        hold.access.tokenFile = "t"
        hold.access.timeout = .seconds(2)
        hold.isJSON = true
        #expect(
            try question(
                "hold", "web", "--admin", "http://relay:1", "cds", "--token-file=t", "--timeout", "2s", "--json")
                == hold)
        var events = Question(.events)
        events.kinds = ["ack", "nack"]
        events.limit = 3
        events.duration = .milliseconds(500)
        #expect(try question("events", "--kind", "ack,nack", "--limit", "3", "--for", "500ms") == events)
        #expect(try question("events", "--follow")?.isFollowing == true)
        #expect(try question("status", "--unsynced")?.onlyUnsynced == true)
        #expect(try Command(["events", "--help"]) == .help(.events))
        var explain = Command.Explain()
        explain.client = "envoy-1"
        explain.access = RelayAccess()
        #expect(try Command(["explain", "--client", "envoy-1"]) == .explain(explain))
        #expect(try Command(["completion", "zsh"]) == .completion(.zsh))
    }

    @Test("bad usage says what would be right")
    func usage() {
        #expect(usageError("hold", "--key", "web") == "hold: it needs --type TYPE")
        #expect(usageError("evict") == "evict: it needs --key KEY")
        #expect(usageError("evict", "a", "b") == "evict: unexpected \"b\"; options begin with --")
        #expect(usageError("hold", "web", "cds", "--key", "x") == "hold: --key is given twice")
        #expect(usageError("hold", "web", "cdss")?.hasPrefix("hold: --type: \"cdss\" is no type; did you mean") == true)
        #expect(
            usageError("events", "--kind", "nak")
                == "events: --kind: there are no events \"nak\"; did you mean \"nack\"?")
        #expect(usageError("events", "--limit", "0") == "events: --limit: \"0\" is no number above 0")
        #expect(
            usageError("events", "--for", "soon")
                == "events: --for: \"soon\" is no time; expected one such as 500ms, 10s or 5m")
        #expect(
            usageError("events", "--follow", "--for", "1s")
                == "events: --follow and --for both say when to end: give one")
        #expect(
            usageError("keys", "--certificate", "c")
                == "keys: --certificate and --private-key belong together: give both")
        #expect(usageError("statsu") == "unknown command \"statsu\"; did you mean \"status\"?")
        #expect(usageError("completion") == "completion: it needs a shell: bash, zsh, fish")
        #expect(usageError("completion", "csh") == "completion: unknown shell \"csh\"; known are bash, zsh, fish")
        #expect(
            usageError("explain", "--admin", "x", "--config", "y")
                == "explain: --config and --admin both say whose rules are asked: give one")
        #expect(
            usageError("explain", "--client", "x", "--node", "y")
                == "explain: --node and --client both say who it is: give one")
    }

    @Test("where nobody answers, the error names the address and what to do")
    func refused() {
        // Port 1 of loopback: nobody listens there who was not asked to.
        let result = run(["keys", "--admin", "127.0.0.1:1"], environment: [:])
        #expect(result.status == 1 && result.output.isEmpty)
        #expect(
            result.errors.hasPrefix("weir: cannot reach the debug endpoint at http://127.0.0.1:1: Connection refused."))
        #expect(result.errors.contains("--admin URL or WEIR_ADMIN"))
        let fromEnvironment = run(["keys"], environment: ["WEIR_ADMIN": "http://127.0.0.1:1/"])
        #expect(fromEnvironment.errors == result.errors)
        let socket = run(["keys", "--admin", "unix:///nonexistent/weir.sock"], environment: [:])
        #expect(socket.status == 1 && socket.errors.contains("unix:///nonexistent/weir.sock: No such file"))
    }

    @Test(
        "an address or a token file that is none is bad usage",
        arguments: ["ftp://x", "http://", "unix:x", "http://a b"])
    func addresses(_ url: String) {
        let result = run(["keys", "--admin", url], environment: [:])
        #expect(result.status == 2 && result.errors.contains("is no debug endpoint; expected http://HOST:PORT"))
        let token = run(["keys", "--token-file", "/nonexistent"], environment: [:])
        #expect(token.status == 2 && token.errors.contains("token file \"/nonexistent\": No such file"))
    }
}

@Suite("Server-sent events")
struct EventReaderTests {
    @Test("lines make events; comments and unknown fields are passed over")
    func reading() {
        var reader = EventReader()
        let lines = [
            ": hello", "", "event: push", "id: 7", "data: {\"a\":1}", "", "data:x", "data: y", "", "event: lost", "",
            "data",
            "",
        ]
        let events = lines.compactMap { reader.take($0) }
        #expect(
            events == [
                EventReader.Event(kind: "push", data: "{\"a\":1}"), EventReader.Event(kind: "", data: "x\ny"),
                EventReader.Event(kind: "", data: ""),
            ])
    }
}

@Suite("Texts made of the table of commands")
struct CommandTableTests {
    @Test("every command has its entry, and every option a help")
    func whole() {
        #expect(Set(commandTable.map(\.topic)) == Set(Command.Topic.allCases).subtracting([.weir]))
        for spec in commandTable {
            #expect(!spec.summary.isEmpty && !spec.text.isEmpty && spec.summary.count <= 66, "\(spec.name)")
            #expect(Set(spec.options.map(\.name)).count == spec.options.count, "\(spec.name): an option twice")
            for option in spec.options { #expect(option.name.hasPrefix("--") && !option.help.isEmpty) }
            for operand in spec.operands { #expect(spec.valueOptions.contains(operand)) }
            #expect(spec.usage.allSatisfy { $0.hasPrefix(spec.name) })
        }
    }

    @Test("the help of a command names all its options, the overview all commands")
    func help() {
        for spec in commandTable {
            let text = helpText(spec.topic)
            for option in spec.options { #expect(text.contains("  \(option.name)"), "\(spec.name) \(option.name)") }
            #expect(helpText(.weir).contains("  \(spec.name) "))
        }
    }

    @Test("each shell is taught all commands and options", arguments: Shell.allCases)
    func completions(_ shell: Shell) {
        let script = completionScript(shell)
        for spec in commandTable {
            #expect(script.contains(spec.name))
            for option in spec.options {
                let name = shell == .fish ? "-l \(option.name.dropFirst(2))" : option.name
                #expect(script.contains(name), "\(shell): \(option.name)")
            }
        }
    }

    @Test("docs/weir.1 is the manual page that the program prints")
    func manual() throws {
        let root = String(#filePath.split(separator: "/").dropLast(3).reduce("") { $0 + "/" + $1 })
        let committed = try readText("\(root)/docs/weir.1")
        #expect(committed == manualPage(), "make it anew: weir man > docs/weir.1")
        for spec in commandTable { #expect(committed.contains(".SS weir \(spec.name)\n")) }
        let document = try readText("\(root)/docs/command-line.md")
        for spec in commandTable { #expect(document.contains("weir \(spec.name)"), "\(spec.name) is not described") }
    }
}
