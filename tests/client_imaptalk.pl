#!/usr/bin/perl
# What client_imaptalk.test does with Mail::IMAPTalk. Arguments: port, user, password, a command that delivers a message.
use strict;
use warnings;
use Mail::IMAPTalk;
my ($port, $user, $password, $deliver) = @ARGV;
my $c;
sub ok($$) { my ($result, $what) = @_; die "$what: " . ($c->get_last_error // "") . "\n" unless defined $result; return $result }
sub is($$$) { my ($got, $expected, $what) = @_; die "$what: '$got' and not '$expected'\n" unless $got eq $expected }
sub connected {
    my $new = Mail::IMAPTalk->new(Server => "127.0.0.1", Port => $port, Username => $user, Password => $password, Uid => 1, UseBlocking => 1, @_)
        or die "connect: $@";
    return $new;
}
$c = connected();
my $can = ok($c->capability, "capability");

# Mailboxes.
ok($c->namespace, "namespace");
ok($c->id(name => "imaptalk"), "id") if $can->{id};
ok($c->create($_), "create $_") for "two words", "Drafts", "gone";
ok($c->rename("two words", "words"), "rename");
ok($c->delete("gone"), "delete");
ok($c->subscribe("words"), "subscribe");
is(join(",", sort map { $_->[2] } @{ ok(scalar $c->list("", "*"), "list") }), "Drafts,Inbox,words", "list");
is(join(",", map { $_->[2] } @{ ok(scalar $c->lsub("", "*"), "lsub") }), "words", "lsub");
if ($can->{"list-extended"}) {
    my $list = ok(scalar $c->list([qw(SUBSCRIBED)], "", "*", "RETURN", [qw(CHILDREN)]), "list subscribed");
    is(join(",", map { $_->[2] } @$list), "words", "list subscribed");
    if ($can->{"list-status"}) {
        ok(scalar $c->list("", "*", "RETURN", ["STATUS", [qw(MESSAGES UIDNEXT)]]), "list status");
        is($c->get_response_code("status")->{Inbox}{messages}, 3, "STATUS with LIST");
    }
}
if ($can->{"special-use"}) {
    my ($drafts) = grep { $_->[2] eq "Drafts" } @{ $c->list("", "*") };
    is(scalar(grep { lc $_ eq "\\drafts" } @{ $drafts->[0] }), 1, "Drafts is told by LIST");
}
my $status = ok($c->status("INBOX", "(MESSAGES UIDNEXT UIDVALIDITY UNSEEN)"), "status");
is($status->{messages}, 3, "status");
is($c->multistatus("(MESSAGES)", "INBOX", "words")->{words}{messages}, 0, "multistatus");
if ($can->{acl}) {
    ok(scalar $c->getacl("words"), "getacl");
    ok(scalar $c->myrights("words"), "myrights");
}
ok(scalar $c->getquotaroot("INBOX"), "getquotaroot") if $can->{quota};
if ($can->{metadata}) {
    ok($c->setmetadata("words", "/private/comment", "of words"), "setmetadata");
    is($c->getmetadata("words", "/private/comment")->{words}{"/private/comment"}, "of words", "getmetadata");
    is($c->getmetadata("words", { depth => "infinity" }, "/private")->{words}{"/private/comment"}, "of words", "getmetadata below");
    is($c->multigetmetadata(["/private/comment"], "words", "INBOX")->{words}{"/private/comment"}, "of words", "multigetmetadata");
}

# Finding, and what a client that comes back asks.
my $modseq;
if ($can->{qresync}) {
    is(ok($c->enable("qresync"), "enable"), 1, "enable");
}
ok($c->select("INBOX", $can->{condstore} ? ("(CONDSTORE)" => 1) : ()), "select");
$modseq = $c->get_response_code("highestmodseq");
my $validity = ok($c->get_response_code("uidvalidity"), "uidvalidity");
is(join(",", @{ $c->search("not", "subject", { Quote => "apples" }) }), "1,3", "search");
is(join(",", @{ $c->sort("(subject)", "UTF-8", "all") }), "2,1,3", "sort") if $can->{sort};
if ($can->{"thread=references"}) {
    my @shape = map { join "-", @$_ } @{ ok(scalar $c->thread("references", "UTF-8", "all"), "thread") };
    is(join("+", sort @shape), "1-3+2", "threads");
}

# Messages.
my $all = ok(scalar $c->fetch("1:*", "(flags internaldate rfc822.size envelope bodystructure)"), "fetch");
is(join(",", sort keys %$all), "1,2,3", "fetch");
is($all->{2}{envelope}{Subject}, "apples", "envelope");
is($all->{1}{bodystructure}{"MIME-Type"}, "text", "bodystructure");
ok(scalar $c->fetch_flags("1:*"), "fetch_flags");
ok($c->append("words", \'(\Seen $Label1)', { Literal => "Subject: by imaptalk\r\n\r\nText\r\n" }), "append");
is($c->get_response_code("appenduid")->[1], 1, "appenduid");
ok($c->store("1", "+flags", "(\\Flagged)"), "store");
ok($c->store([1, 2], "+flags.silent", "(\\Seen)"), "store");
if ($can->{condstore} && $modseq) {
    my $changed = ok(scalar $c->fetch("1:*", \"(flags)", \"(changedsince $modseq)"), "changedsince");
    is(join(",", sort keys %$changed), "1,2", "changedsince");
    ok($c->store("3", \"(unchangedsince $modseq)", "+flags", "(\\Answered)"), "unchangedsince");
    ok($c->store("3", "-flags", "(\\Answered)"), "store");
}
ok($c->copy("1:2", "words"), "copy");
is($c->get_response_code("copyuid")->[2], "2:3", "copyuid");
ok($c->move("2", "words"), "move");
ok($c->store("1", "+flags", "(\\Deleted)"), "store deleted");
ok($c->uidexpunge("1"), "uidexpunge");
is(join(",", @{ $c->search("all") }), "3", "after uidexpunge");

# IDLE: its idle() wants "+ idling" and nothing else.
my $told = "";
ok($c->idle(sub { $told .= "$_[0] $_[1];"; return $told =~ /exists 2/ ? 1 : 0 }, 0), "idle of no time");
system("(sleep 0.3; $deliver) &") == 0 or die "deliver";
ok($c->idle(sub { $told .= "$_[0] $_[1];"; return $told =~ /exists 2/ ? 1 : 0 }, 15), "idle");
is($told =~ /exists 2/ ? 1 : 0, 1, "EXISTS in IDLE: $told");
ok($c->unselect, "unselect");
ok($c->logout, "logout");

# Back again.
$c = connected($can->{"compress=deflate"} ? (UseCompress => 1) : ());
if ($can->{qresync} && $modseq) {
    ok($c->enable("qresync"), "enable");
    ok($c->select("INBOX", "(QRESYNC ($validity $modseq))" => 1), "select with qresync");
    is(join(",", map { ref $_ ? @$_ : $_ } @{ ok(scalar $c->get_response_code("vanished"), "vanished") }), "EARLIER,1:2", "vanished");
} else {
    ok($c->select("INBOX"), "select");
}
is($c->get_response_code("exists"), 2, "exists");
ok($c->examine("words"), "examine");
is(scalar(@{ $c->search("all") }), 4, "words");
ok($c->close, "close");
ok($c->logout, "logout");
