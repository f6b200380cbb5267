import Testing

@testable import WeirRegex

@Suite("Patterns")
struct PatternTests {
    @Test("a full match takes the whole value, and gives named and positional groups")
    func fullMatch() throws {
        let pattern = try Pattern("edge-(?<env>[a-z]+)(-(\\d+))?")
        let match = try #require(pattern.fullMatch("edge-prod"))
        #expect(match.named.map { "\($0.name)=\($0.value)" } == ["env=prod"])
        #expect(match.groups == ["prod", nil, nil])
        #expect(pattern.fullMatch("edge-prod-7")?.groups == ["prod", "-7", "7"])
        #expect(pattern.fullMatch("my-edge-prod") == nil)
        #expect(pattern.fullMatch("edge-prod!") == nil)
        #expect(try Pattern("a|ab").fullMatch("ab")?.whole == "ab")
        #expect(try Pattern("").fullMatch("")?.whole == "")
        #expect(try Pattern(".*").fullMatch("a\nb") == nil)
    }

    @Test("a search finds the leftmost match anywhere")
    func search() throws {
        let pattern = try Pattern("(?P<n>[0-9]+)ü")
        #expect(pattern.search("ä12 ö34ü")?.whole == "34ü")
        #expect(pattern.search("ä12 ö34ü")?.named.first?.value == "34")
        #expect(pattern.isFound(in: "5ü") && !pattern.isFound(in: "5u"))
        #expect(try Pattern("^$").isFound(in: ""))
    }

    @Test("more groups than the shim keeps on its stack")
    func manyGroups() throws {
        let pattern = try Pattern(String(repeating: "(.)", count: 20))
        #expect(pattern.fullMatch("abcdefghijklmnopqrst")?.groups.last == "t")
    }

    @Test(
        "named groups are translated outside classes and escapes only",
        arguments: [
            ("(?<a>x)", "(?P<a>x)"), ("(?P<a>x)", "(?P<a>x)"), ("[(?<a>]", "[(?<a>]"),
            ("[]((?<a>](?<b>y)", "[]((?<a>](?P<b>y)"),
            ("[^](?<a>]", "[^](?<a>]"), ("\\(?<a>", "\\(?<a>"), ("\\\\(?<a>x)", "\\\\(?P<a>x)"),
            ("\\Q(?<a>\\E(?<b>y)", "\\Q(?<a>\\E(?P<b>y)"),
            ("[[:alpha:](?<a>](?<b>y)", "[[:alpha:](?<a>](?P<b>y)"), ("(?<=x)", "(?<=x)"),
            ("[\\](?<a>](?<ü>y)", "[\\](?<a>](?P<ü>y)"),
            ("\\", "\\"), ("[", "["), ("(?<", "(?<"), ("\\Qabc", "\\Qabc"), ("[\\", "[\\"),
        ])
    func translation(_ pattern: String, _ expected: String) {
        #expect(translatingNamedGroups(pattern) == expected)
    }

    @Test(
        "a bad pattern says why and where",
        arguments: [
            ("edge-(", "missing ) (\"edge-(\", character 1)"), ("a[b", "missing ] (\"[b\", character 2)"),
            ("(?=a)", "invalid perl operator (\"(?=\", character 1)"),
            ("ü(\\1)", "invalid escape sequence (\"\\1\", character 3)"),
            ("(?<=a)b", "invalid perl operator (\"(?<\", character 1)"),
            ("*a", "no argument for repetition operator (\"*\", character 1)"),
            ("(?<a>x)(?<a>y)", "two groups have the same name (\"a\")"),
        ])
    func errors(_ pattern: String, _ expected: String) {
        let error = #expect(throws: PatternError.self) { try Pattern(pattern) }
        #expect(error?.description == expected)
    }

    @Test("a program that would be too large is refused")
    func programSize() {
        #expect(throws: PatternError.self) { try Pattern("((a{100}){100}){100}") }
    }

    @Test("a pattern that is exponential elsewhere stays linear")
    func linear() throws {
        let pattern = try Pattern("(a*)*(a*)*(a*)*b")
        #expect(pattern.fullMatch(String(repeating: "a", count: 100_000)) == nil)
    }
}

@Suite("Replacing as Go does")
struct ReplacementTests {
    @Test(
        "the vectors executed with Go",
        arguments: [
            ("^*-(.*)-*$", "$1", "test-cluster", "testcluster"),
            ("^*-(.*)-*$", "$1", "test-cluster-1", "testcluster-1"),
            ("^*-(.*)-*$", "$1", "1a-fooservice-production", "1afooservice-production"),
            ("^*-(.*)-*$", "$1", "nocluster", "nocluster"), ("^(.*)-*$", "$1", "envoy-1", "envoy-1"),
            ("^(.*)-.*$", "$1", "staging", "staging"), ("^(.*)-.*$", "$1", "staging-eu-1", "staging-eu"),
            ("^(.*)-.*$", "$1", "test-prod", "test"), ("a*", "X", "baac", "XbXcX"), ("", "-", "abc", "-a-b-c-"),
        ])
    func vectors(_ pattern: String, _ template: String, _ input: String, _ output: String) throws {
        #expect(try Pattern(pattern).replaceAll(in: input, template: template) == output)
    }

    @Test(
        "the template rules",
        arguments: [
            ("$1x", ""), ("${1}x", "bx"), ("$$", "$"), ("$1$1", "bb"), ("$9", ""), ("$00", ""), ("$0", "abc"),
            ("$name", "c"), ("${name}s", "cs"), ("$names", ""), ("$", "$"), ("a$", "a$"), ("${1", "${1"),
            ("${}", "${}"),
            ("$-", "$-"), ("$1-$name", "b-c"), ("$$1", "$1"), ("$1é", ""), ("\\1", "\\1"), ("$999999999999", ""),
            ("$opt", ""),
        ])
    func templates(_ template: String, _ expected: String) throws {
        let pattern = try Pattern("a(b)(?P<name>c)(?P<opt>d)?")
        #expect(pattern.replaceAll(in: "abc", template: template) == expected)
    }

    @Test("empty matches step over whole characters, and anchors and word edges see what stands before")
    func stepping() throws {
        #expect(try Pattern("").replaceAll(in: "äß😀", template: "-") == "-ä-ß-😀-")
        #expect(try Pattern("").replaceAll(in: "", template: "-") == "-")
        #expect(try Pattern("^a").replaceAll(in: "aaa", template: "b") == "baa")
        #expect(try Pattern("\\ba").replaceAll(in: "aa a", template: "b") == "ba b")
        #expect(try Pattern("(?:^|,)a").replaceAll(in: "aa,a", template: "b") == "bab")
        #expect(try Pattern("x*$").replaceAll(in: "axx", template: "!") == "a!")
    }
}
