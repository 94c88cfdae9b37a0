#!/usr/bin/perl
# What client_imapclient.test does with Mail::IMAPClient. Arguments: port, user, password, a command that delivers a message.
use strict;
use warnings;
use Mail::IMAPClient;
my ($port, $user, $password, $deliver) = @ARGV;
my $c;
sub ok($$) { my ($result, $what) = @_; die "$what: " . ($c->LastError // "") . "\n" unless defined $result; return $result }
sub is($$$) { my ($got, $expected, $what) = @_; die "$what: '$got' and not '$expected'\n" unless $got eq $expected }
my @how = (Server => "127.0.0.1", Port => $port, User => $user, Password => $password, Uid => 1, Timeout => 20, Peek => 1);
$c = Mail::IMAPClient->new(@how) or die "connect: $@";

# Mailboxes.
is($c->separator, "/", "separator");
ok($c->namespace, "namespace");
ok($c->create($_), "create $_") for "two words", "Trash", "gone";
ok($c->rename("two words", "words"), "rename");
ok($c->delete("gone"), "delete");
ok($c->subscribe("words"), "subscribe");
is(join(",", sort $c->folders), "INBOX,Trash,words", "folders");
is(join(",", sort $c->subscribed), "words", "subscribed");
my ($trash) = grep { $_->{name} eq "Trash" } $c->folders_hash;
is(scalar(grep { $_ eq "\\Trash" } @{ $trash->{attrs} }), 1, "Trash is told by LIST") if $c->has_capability("SPECIAL-USE");
is($c->exists("words") ? 1 : 0, 1, "exists");
is($c->message_count("INBOX"), 3, "message_count");
is($c->uidnext("INBOX"), 4, "uidnext");
ok($c->uidvalidity("INBOX"), "uidvalidity");
is($c->unseen_count("INBOX"), 3, "unseen_count");
my $rights = $c->has_capability("ACL");
if ($rights) {
    ok($c->getacl("words"), "getacl");
    ok($c->listrights("words", $user), "listrights");
    ok($c->myrights("words"), "myrights");
    $c->setacl("words", "anyone", "lr") or $c->LastError =~ / NO / or die "setacl: " . $c->LastError;
    $c->deleteacl("words", "anyone") or $c->LastError =~ / NO / or die "deleteacl: " . $c->LastError;
}
if ($c->has_capability("QUOTA")) {
    ok($c->getquotaroot("INBOX"), "getquotaroot");
}

# Finding.
ok($c->select("INBOX"), "select");
is(join(",", $c->search("ALL")), "1,2,3", "search");
is(join(",", $c->search(SUBJECT => "apples")), "2", "search subject");
is(join(",", $c->search('CHARSET UTF-8 TEXT "yellow"')), "1", "search text");
is(join(",", $c->sort("SUBJECT", "UTF-8", "ALL")), "2,1,3", "sort") if $c->has_capability("SORT");
if ($c->has_capability("THREAD=REFERENCES")) {
    my @shape = map { join "-", map { ref $_ ? "(@$_)" : $_ } @$_ } @{ ok($c->thread("REFERENCES", "UTF-8", "ALL"), "thread") };
    is(join("+", sort @shape), "1-3+2", "threads");
    ok($c->thread("ORDEREDSUBJECT", "UTF-8", "ALL"), "thread by subject") if grep { $_ eq "ORDEREDSUBJECT" } $c->has_capability("THREAD");
}

# Messages.
is($c->subject(2), "apples", "subject");
is($c->flags(2) && 1, 1, "flags");
my $all = ok($c->fetch_hash("FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE"), "fetch_hash");
is(join(",", sort keys %$all), "1,2,3", "fetch_hash");
is($c->parse_headers(1, "Subject", "Message-ID")->{"Message-ID"}[0], '<1@x>', "parse_headers");
is($c->get_bodystructure(4 - 1)->bodytype, "TEXT", "bodystructure") if eval { require Mail::IMAPClient::BodyStructure };
is($c->get_envelope(1)->subject, "pears", "envelope") if eval { require Mail::IMAPClient::BodyStructure };
is($c->append_string("words", "Subject: by imapclient\n\nText\n", '\Seen $Label1', " 2-Feb-2026 02:40:00 +0000"), 1, "append_string gives the UID");
is($c->append_file("words", \"Subject: from a file\r\n\r\nText\r\n"), 2, "append_file gives the UID");
ok($c->store(1, "+FLAGS.SILENT", "(\\Flagged)"), "store");
ok($c->set_flag("Answered", 1), "set_flag");
ok($c->unset_flag("Answered", 1), "unset_flag");
ok($c->see(1), "see");
is($c->copy("words", 1), 3, "copy gives the UID");
ok($c->move("words", 2), "move");
ok($c->delete_message(1), "delete_message");
ok($c->uidexpunge("1:2"), "uidexpunge");
is(join(",", $c->search("ALL")), "3", "after uidexpunge");
is(join(",", $c->message_string(3) =~ /green/), "1", "message_string");

# IDLE.
my $tag = ok($c->idle, "idle");
system($deliver) == 0 or die "deliver";
my $end = time + 15;
my $told = "";
while ($told !~ /EXISTS/ && time < $end) {
    my $data = ok($c->idle_data(1), "idle_data");
    $told .= join "", @$data;
}
is($told =~ /\* 2 EXISTS/ ? 1 : 0, 1, "EXISTS in IDLE: $told");
ok($c->done($tag), "done");
ok($c->close, "close");

# Messages to another server: this one, with COMPRESS.
my $peer = Mail::IMAPClient->new(@how) or die "connect: $@";
if ($peer->has_capability("COMPRESS=DEFLATE") || grep { $_ eq "DEFLATE" } $peer->has_capability("COMPRESS")) {
    $peer->compress or die "compress: " . $peer->LastError;
}
$c->select("words");
$peer->create("migrated") or die $peer->LastError;
# migrate() takes one name for both sides, so the messages go one by one.
for my $uid ($c->search("ALL")) {
    defined $peer->append_string("migrated", $c->message_string($uid), join(" ", grep { !/Recent/ } $c->flags($uid)), $c->internaldate($uid)) or die $peer->LastError;
}
ok($peer->select("migrated"), "select migrated");
is(scalar($peer->search("ALL") // []) ? scalar(@{ [$peer->search("ALL")] }) : 0, 4, "migrated");
$peer->logout;
$c->examine("words") or die;
ok($c->logout, "logout");
print "capabilities seen\n";
