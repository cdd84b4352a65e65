# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_caddis_global_optspecs
    string join \n r/repo= password-file= password-command= key-file= json q/quiet v/verbose cache-dir= accept-rollback h/help V/version
end

function __fish_caddis_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_caddis_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_caddis_using_subcommand
    set -l cmd (__fish_caddis_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c caddis -n "__fish_caddis_needs_command" -s r -l repo -d 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo' -r -f -a "(__fish_complete_directories)"
complete -c caddis -n "__fish_caddis_needs_command" -l password-file -d 'Read the passphrase from this file; one line end at its end is dropped' -r -F
complete -c caddis -n "__fish_caddis_needs_command" -l password-command -d 'Run this command in a shell and take what it prints as the passphrase' -r -f -a "(__fish_complete_command)"
complete -c caddis -n "__fish_caddis_needs_command" -l key-file -d 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent' -r -F
complete -c caddis -n "__fish_caddis_needs_command" -l cache-dir -d 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis' -r -f -a "(__fish_complete_directories)"
complete -c caddis -n "__fish_caddis_needs_command" -l json -d 'Print JSON: one document for queries, one message a line for long work'
complete -c caddis -n "__fish_caddis_needs_command" -s q -l quiet -d 'Print errors only'
complete -c caddis -n "__fish_caddis_needs_command" -s v -l verbose -d 'Say what was done also when that is not for a terminal, and more of it'
complete -c caddis -n "__fish_caddis_needs_command" -l accept-rollback -d 'Take the repository as it is now, although this machine has seen more in it, or another one at its place'
complete -c caddis -n "__fish_caddis_needs_command" -s h -l help -d 'Print help'
complete -c caddis -n "__fish_caddis_needs_command" -s V -l version -d 'Print version'
complete -c caddis -n "__fish_caddis_needs_command" -f -a "init" -d 'Make a new repository'
complete -c caddis -n "__fish_caddis_needs_command" -f -a "backup" -d 'Save files and folders as a new snapshot'
complete -c caddis -n "__fish_caddis_needs_command" -f -a "why" -d 'Say which rule takes a path in or leaves it out'
complete -c caddis -n "__fish_caddis_needs_command" -f -a "restore" -d 'Bring back a snapshot, or a part of it'
complete -c caddis -n "__fish_caddis_needs_command" -f -a "snapshots" -d 'List snapshots, oldest first'
complete -c caddis -n "__fish_caddis_needs_command" -f -a "ls" -d 'List what a snapshot holds'
complete -c caddis -n "__fish_caddis_needs_command" -f -a "cat" -d 'Print a file of a snapshot'
complete -c caddis -n "__fish_caddis_needs_command" -f -a "check" -d 'Prove that all that snapshots need is there and whole'
complete -c caddis -n "__fish_caddis_needs_command" -f -a "key" -d 'Manage the passphrases and key files that open the repository'
complete -c caddis -n "__fish_caddis_needs_command" -f -a "completions" -d 'Print a completion script for a shell'
complete -c caddis -n "__fish_caddis_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c caddis -n "__fish_caddis_using_subcommand init" -l pack-size -d 'Length of a full pack' -r
complete -c caddis -n "__fish_caddis_using_subcommand init" -l kdf-memory -d 'Memory that one try of a passphrase takes (Argon2id)' -r
complete -c caddis -n "__fish_caddis_using_subcommand init" -s r -l repo -d 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo' -r -f -a "(__fish_complete_directories)"
complete -c caddis -n "__fish_caddis_using_subcommand init" -l password-file -d 'Read the passphrase from this file; one line end at its end is dropped' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand init" -l password-command -d 'Run this command in a shell and take what it prints as the passphrase' -r -f -a "(__fish_complete_command)"
complete -c caddis -n "__fish_caddis_using_subcommand init" -l key-file -d 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand init" -l cache-dir -d 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis' -r -f -a "(__fish_complete_directories)"
complete -c caddis -n "__fish_caddis_using_subcommand init" -l json -d 'Print JSON: one document for queries, one message a line for long work'
complete -c caddis -n "__fish_caddis_using_subcommand init" -s q -l quiet -d 'Print errors only'
complete -c caddis -n "__fish_caddis_using_subcommand init" -s v -l verbose -d 'Say what was done also when that is not for a terminal, and more of it'
complete -c caddis -n "__fish_caddis_using_subcommand init" -l accept-rollback -d 'Take the repository as it is now, although this machine has seen more in it, or another one at its place'
complete -c caddis -n "__fish_caddis_using_subcommand init" -s h -l help -d 'Print help'
complete -c caddis -n "__fish_caddis_using_subcommand backup" -l files-from -d 'Save also what this file names, one path a line; `-` is standard input; may be repeated' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand backup" -l files-from0 -d 'The same with a NUL byte behind each path, as `find -print0` writes it' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand backup" -l as-path -d 'Save the one source as if it lay at this path' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand backup" -l stdin-filename -d 'Path of that file in the snapshot' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand backup" -l parent -d 'Compare files with this snapshot, instead of what this machine remembers' -r
complete -c caddis -n "__fish_caddis_using_subcommand backup" -l tag -d 'Give the snapshot a tag; may be repeated, or several joined by commas' -r
complete -c caddis -n "__fish_caddis_using_subcommand backup" -l host -d 'Name of the machine that the snapshot shows, instead of this machine\'s own' -r
complete -c caddis -n "__fish_caddis_using_subcommand backup" -l label -d 'Series that the snapshot belongs to, such as `nightly`' -r
complete -c caddis -n "__fish_caddis_using_subcommand backup" -l time -d 'When the backup was made, if not now: RFC 3339, or local time as 2026-11-01 or "2026-11-01 03:00"' -r
complete -c caddis -n "__fish_caddis_using_subcommand backup" -l compression -d 'How much time to spend on making data smaller' -r -f -a "off\t''
fast\t''
auto\t''
better\t''
max\t''"
complete -c caddis -n "__fish_caddis_using_subcommand backup" -s e -l exclude -d 'Leave out what fits this pattern, in the syntax of gitignore; `!` in front takes in again; may be repeated' -r
complete -c caddis -n "__fish_caddis_using_subcommand backup" -l iexclude -d 'The same, whatever the case of its letters' -r
complete -c caddis -n "__fish_caddis_using_subcommand backup" -l exclude-file -d 'Leave out what fits a pattern of this file, one a line; may be repeated' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand backup" -l iexclude-file -d 'The same, whatever the case of their letters' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand backup" -l exclude-if-present -d 'Leave out what lies beside a file of this name, which begins with HEADER; may be repeated' -r
complete -c caddis -n "__fish_caddis_using_subcommand backup" -l exclude-larger-than -d 'Leave out files that are larger' -r
complete -c caddis -n "__fish_caddis_using_subcommand backup" -s r -l repo -d 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo' -r -f -a "(__fish_complete_directories)"
complete -c caddis -n "__fish_caddis_using_subcommand backup" -l password-file -d 'Read the passphrase from this file; one line end at its end is dropped' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand backup" -l password-command -d 'Run this command in a shell and take what it prints as the passphrase' -r -f -a "(__fish_complete_command)"
complete -c caddis -n "__fish_caddis_using_subcommand backup" -l key-file -d 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand backup" -l cache-dir -d 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis' -r -f -a "(__fish_complete_directories)"
complete -c caddis -n "__fish_caddis_using_subcommand backup" -l stdin -d 'Save what comes from standard input as one file'
complete -c caddis -n "__fish_caddis_using_subcommand backup" -l stdin-from-command -d 'Run the command that follows and save what it prints as one file; if it fails, nothing is saved'
complete -c caddis -n "__fish_caddis_using_subcommand backup" -s n -l dry-run -d 'Store nothing, and say what would be saved; with -v each item and why'
complete -c caddis -n "__fish_caddis_using_subcommand backup" -l skip-if-unchanged -d 'Make no snapshot when it would hold what the one before it holds'
complete -c caddis -n "__fish_caddis_using_subcommand backup" -l init -d 'Make the repository when there is none'
complete -c caddis -n "__fish_caddis_using_subcommand backup" -s f -l force -d 'Read every file, also those that look unchanged'
complete -c caddis -n "__fish_caddis_using_subcommand backup" -l ignore-inode -d 'Take a file for unchanged although its inode number is another one, as on some network file systems'
complete -c caddis -n "__fish_caddis_using_subcommand backup" -l ignore-ctime -d 'Take a file for unchanged although its metadata were changed since, if its size and modification time were not'
complete -c caddis -n "__fish_caddis_using_subcommand backup" -l with-atime -d 'Save also when files and folders were last read'
complete -c caddis -n "__fish_caddis_using_subcommand backup" -l no-ignore -d 'Do not read `.caddisignore` in folders'
complete -c caddis -n "__fish_caddis_using_subcommand backup" -l exclude-caches -d 'Leave out what folders hold that a CACHEDIR.TAG marks as caches'
complete -c caddis -n "__fish_caddis_using_subcommand backup" -s x -l one-file-system -d 'Leave out what other file systems hold that are mounted below a source'
complete -c caddis -n "__fish_caddis_using_subcommand backup" -l json -d 'Print JSON: one document for queries, one message a line for long work'
complete -c caddis -n "__fish_caddis_using_subcommand backup" -s q -l quiet -d 'Print errors only'
complete -c caddis -n "__fish_caddis_using_subcommand backup" -s v -l verbose -d 'Say what was done also when that is not for a terminal, and more of it'
complete -c caddis -n "__fish_caddis_using_subcommand backup" -l accept-rollback -d 'Take the repository as it is now, although this machine has seen more in it, or another one at its place'
complete -c caddis -n "__fish_caddis_using_subcommand backup" -s h -l help -d 'Print help'
complete -c caddis -n "__fish_caddis_using_subcommand why" -l source -d 'What is saved, as it is named for the backup; by default what this user saved last of what holds the path; may be repeated' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand why" -s e -l exclude -d 'Leave out what fits this pattern, in the syntax of gitignore; `!` in front takes in again; may be repeated' -r
complete -c caddis -n "__fish_caddis_using_subcommand why" -l iexclude -d 'The same, whatever the case of its letters' -r
complete -c caddis -n "__fish_caddis_using_subcommand why" -l exclude-file -d 'Leave out what fits a pattern of this file, one a line; may be repeated' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand why" -l iexclude-file -d 'The same, whatever the case of their letters' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand why" -l exclude-if-present -d 'Leave out what lies beside a file of this name, which begins with HEADER; may be repeated' -r
complete -c caddis -n "__fish_caddis_using_subcommand why" -l exclude-larger-than -d 'Leave out files that are larger' -r
complete -c caddis -n "__fish_caddis_using_subcommand why" -s r -l repo -d 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo' -r -f -a "(__fish_complete_directories)"
complete -c caddis -n "__fish_caddis_using_subcommand why" -l password-file -d 'Read the passphrase from this file; one line end at its end is dropped' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand why" -l password-command -d 'Run this command in a shell and take what it prints as the passphrase' -r -f -a "(__fish_complete_command)"
complete -c caddis -n "__fish_caddis_using_subcommand why" -l key-file -d 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand why" -l cache-dir -d 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis' -r -f -a "(__fish_complete_directories)"
complete -c caddis -n "__fish_caddis_using_subcommand why" -l no-ignore -d 'Do not read `.caddisignore` in folders'
complete -c caddis -n "__fish_caddis_using_subcommand why" -l exclude-caches -d 'Leave out what folders hold that a CACHEDIR.TAG marks as caches'
complete -c caddis -n "__fish_caddis_using_subcommand why" -s x -l one-file-system -d 'Leave out what other file systems hold that are mounted below a source'
complete -c caddis -n "__fish_caddis_using_subcommand why" -l json -d 'Print JSON: one document for queries, one message a line for long work'
complete -c caddis -n "__fish_caddis_using_subcommand why" -s q -l quiet -d 'Print errors only'
complete -c caddis -n "__fish_caddis_using_subcommand why" -s v -l verbose -d 'Say what was done also when that is not for a terminal, and more of it'
complete -c caddis -n "__fish_caddis_using_subcommand why" -l accept-rollback -d 'Take the repository as it is now, although this machine has seen more in it, or another one at its place'
complete -c caddis -n "__fish_caddis_using_subcommand why" -s h -l help -d 'Print help'
complete -c caddis -n "__fish_caddis_using_subcommand restore" -l host -d 'Only snapshots of this machine; may be repeated' -r
complete -c caddis -n "__fish_caddis_using_subcommand restore" -l tag -d 'Only snapshots with this tag, or with all of several joined by commas; may be repeated' -r
complete -c caddis -n "__fish_caddis_using_subcommand restore" -l path -d 'Only snapshots of this path; may be repeated' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand restore" -l label -d 'Only snapshots with this label; may be repeated' -r
complete -c caddis -n "__fish_caddis_using_subcommand restore" -s r -l repo -d 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo' -r -f -a "(__fish_complete_directories)"
complete -c caddis -n "__fish_caddis_using_subcommand restore" -l password-file -d 'Read the passphrase from this file; one line end at its end is dropped' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand restore" -l password-command -d 'Run this command in a shell and take what it prints as the passphrase' -r -f -a "(__fish_complete_command)"
complete -c caddis -n "__fish_caddis_using_subcommand restore" -l key-file -d 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand restore" -l cache-dir -d 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis' -r -f -a "(__fish_complete_directories)"
complete -c caddis -n "__fish_caddis_using_subcommand restore" -l no-owner -d 'Do not restore owners and groups; without root they never are'
complete -c caddis -n "__fish_caddis_using_subcommand restore" -l json -d 'Print JSON: one document for queries, one message a line for long work'
complete -c caddis -n "__fish_caddis_using_subcommand restore" -s q -l quiet -d 'Print errors only'
complete -c caddis -n "__fish_caddis_using_subcommand restore" -s v -l verbose -d 'Say what was done also when that is not for a terminal, and more of it'
complete -c caddis -n "__fish_caddis_using_subcommand restore" -l accept-rollback -d 'Take the repository as it is now, although this machine has seen more in it, or another one at its place'
complete -c caddis -n "__fish_caddis_using_subcommand restore" -s h -l help -d 'Print help'
complete -c caddis -n "__fish_caddis_using_subcommand snapshots" -l host -d 'Only snapshots of this machine; may be repeated' -r
complete -c caddis -n "__fish_caddis_using_subcommand snapshots" -l tag -d 'Only snapshots with this tag, or with all of several joined by commas; may be repeated' -r
complete -c caddis -n "__fish_caddis_using_subcommand snapshots" -l path -d 'Only snapshots of this path; may be repeated' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand snapshots" -l label -d 'Only snapshots with this label; may be repeated' -r
complete -c caddis -n "__fish_caddis_using_subcommand snapshots" -s r -l repo -d 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo' -r -f -a "(__fish_complete_directories)"
complete -c caddis -n "__fish_caddis_using_subcommand snapshots" -l password-file -d 'Read the passphrase from this file; one line end at its end is dropped' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand snapshots" -l password-command -d 'Run this command in a shell and take what it prints as the passphrase' -r -f -a "(__fish_complete_command)"
complete -c caddis -n "__fish_caddis_using_subcommand snapshots" -l key-file -d 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand snapshots" -l cache-dir -d 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis' -r -f -a "(__fish_complete_directories)"
complete -c caddis -n "__fish_caddis_using_subcommand snapshots" -l json -d 'Print JSON: one document for queries, one message a line for long work'
complete -c caddis -n "__fish_caddis_using_subcommand snapshots" -s q -l quiet -d 'Print errors only'
complete -c caddis -n "__fish_caddis_using_subcommand snapshots" -s v -l verbose -d 'Say what was done also when that is not for a terminal, and more of it'
complete -c caddis -n "__fish_caddis_using_subcommand snapshots" -l accept-rollback -d 'Take the repository as it is now, although this machine has seen more in it, or another one at its place'
complete -c caddis -n "__fish_caddis_using_subcommand snapshots" -s h -l help -d 'Print help'
complete -c caddis -n "__fish_caddis_using_subcommand ls" -l host -d 'Only snapshots of this machine; may be repeated' -r
complete -c caddis -n "__fish_caddis_using_subcommand ls" -l tag -d 'Only snapshots with this tag, or with all of several joined by commas; may be repeated' -r
complete -c caddis -n "__fish_caddis_using_subcommand ls" -l path -d 'Only snapshots of this path; may be repeated' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand ls" -l label -d 'Only snapshots with this label; may be repeated' -r
complete -c caddis -n "__fish_caddis_using_subcommand ls" -s r -l repo -d 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo' -r -f -a "(__fish_complete_directories)"
complete -c caddis -n "__fish_caddis_using_subcommand ls" -l password-file -d 'Read the passphrase from this file; one line end at its end is dropped' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand ls" -l password-command -d 'Run this command in a shell and take what it prints as the passphrase' -r -f -a "(__fish_complete_command)"
complete -c caddis -n "__fish_caddis_using_subcommand ls" -l key-file -d 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand ls" -l cache-dir -d 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis' -r -f -a "(__fish_complete_directories)"
complete -c caddis -n "__fish_caddis_using_subcommand ls" -s l -l long -d 'Print mode, owner, size and time, too'
complete -c caddis -n "__fish_caddis_using_subcommand ls" -s R -l recursive -d 'List also what lies in folders below'
complete -c caddis -n "__fish_caddis_using_subcommand ls" -l json -d 'Print JSON: one document for queries, one message a line for long work'
complete -c caddis -n "__fish_caddis_using_subcommand ls" -s q -l quiet -d 'Print errors only'
complete -c caddis -n "__fish_caddis_using_subcommand ls" -s v -l verbose -d 'Say what was done also when that is not for a terminal, and more of it'
complete -c caddis -n "__fish_caddis_using_subcommand ls" -l accept-rollback -d 'Take the repository as it is now, although this machine has seen more in it, or another one at its place'
complete -c caddis -n "__fish_caddis_using_subcommand ls" -s h -l help -d 'Print help'
complete -c caddis -n "__fish_caddis_using_subcommand cat" -l host -d 'Only snapshots of this machine; may be repeated' -r
complete -c caddis -n "__fish_caddis_using_subcommand cat" -l tag -d 'Only snapshots with this tag, or with all of several joined by commas; may be repeated' -r
complete -c caddis -n "__fish_caddis_using_subcommand cat" -l path -d 'Only snapshots of this path; may be repeated' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand cat" -l label -d 'Only snapshots with this label; may be repeated' -r
complete -c caddis -n "__fish_caddis_using_subcommand cat" -s r -l repo -d 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo' -r -f -a "(__fish_complete_directories)"
complete -c caddis -n "__fish_caddis_using_subcommand cat" -l password-file -d 'Read the passphrase from this file; one line end at its end is dropped' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand cat" -l password-command -d 'Run this command in a shell and take what it prints as the passphrase' -r -f -a "(__fish_complete_command)"
complete -c caddis -n "__fish_caddis_using_subcommand cat" -l key-file -d 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand cat" -l cache-dir -d 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis' -r -f -a "(__fish_complete_directories)"
complete -c caddis -n "__fish_caddis_using_subcommand cat" -l json -d 'Print JSON: one document for queries, one message a line for long work'
complete -c caddis -n "__fish_caddis_using_subcommand cat" -s q -l quiet -d 'Print errors only'
complete -c caddis -n "__fish_caddis_using_subcommand cat" -s v -l verbose -d 'Say what was done also when that is not for a terminal, and more of it'
complete -c caddis -n "__fish_caddis_using_subcommand cat" -l accept-rollback -d 'Take the repository as it is now, although this machine has seen more in it, or another one at its place'
complete -c caddis -n "__fish_caddis_using_subcommand cat" -s h -l help -d 'Print help'
complete -c caddis -n "__fish_caddis_using_subcommand check" -l read-data-subset -d 'Do that for a part of all packs only: `5/12` is the fifth of twelve fixed parts, `10%` and `2GiB` are drawn by lot' -r
complete -c caddis -n "__fish_caddis_using_subcommand check" -s r -l repo -d 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo' -r -f -a "(__fish_complete_directories)"
complete -c caddis -n "__fish_caddis_using_subcommand check" -l password-file -d 'Read the passphrase from this file; one line end at its end is dropped' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand check" -l password-command -d 'Run this command in a shell and take what it prints as the passphrase' -r -f -a "(__fish_complete_command)"
complete -c caddis -n "__fish_caddis_using_subcommand check" -l key-file -d 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand check" -l cache-dir -d 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis' -r -f -a "(__fish_complete_directories)"
complete -c caddis -n "__fish_caddis_using_subcommand check" -l read-data -d 'Open every block and prove every chunk, too'
complete -c caddis -n "__fish_caddis_using_subcommand check" -l storage -d 'Only prove that every object has the bytes that its name says; needs no key'
complete -c caddis -n "__fish_caddis_using_subcommand check" -l json -d 'Print JSON: one document for queries, one message a line for long work'
complete -c caddis -n "__fish_caddis_using_subcommand check" -s q -l quiet -d 'Print errors only'
complete -c caddis -n "__fish_caddis_using_subcommand check" -s v -l verbose -d 'Say what was done also when that is not for a terminal, and more of it'
complete -c caddis -n "__fish_caddis_using_subcommand check" -l accept-rollback -d 'Take the repository as it is now, although this machine has seen more in it, or another one at its place'
complete -c caddis -n "__fish_caddis_using_subcommand check" -s h -l help -d 'Print help'
complete -c caddis -n "__fish_caddis_using_subcommand key; and not __fish_seen_subcommand_from list add remove passwd help" -s r -l repo -d 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo' -r -f -a "(__fish_complete_directories)"
complete -c caddis -n "__fish_caddis_using_subcommand key; and not __fish_seen_subcommand_from list add remove passwd help" -l password-file -d 'Read the passphrase from this file; one line end at its end is dropped' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand key; and not __fish_seen_subcommand_from list add remove passwd help" -l password-command -d 'Run this command in a shell and take what it prints as the passphrase' -r -f -a "(__fish_complete_command)"
complete -c caddis -n "__fish_caddis_using_subcommand key; and not __fish_seen_subcommand_from list add remove passwd help" -l key-file -d 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand key; and not __fish_seen_subcommand_from list add remove passwd help" -l cache-dir -d 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis' -r -f -a "(__fish_complete_directories)"
complete -c caddis -n "__fish_caddis_using_subcommand key; and not __fish_seen_subcommand_from list add remove passwd help" -l json -d 'Print JSON: one document for queries, one message a line for long work'
complete -c caddis -n "__fish_caddis_using_subcommand key; and not __fish_seen_subcommand_from list add remove passwd help" -s q -l quiet -d 'Print errors only'
complete -c caddis -n "__fish_caddis_using_subcommand key; and not __fish_seen_subcommand_from list add remove passwd help" -s v -l verbose -d 'Say what was done also when that is not for a terminal, and more of it'
complete -c caddis -n "__fish_caddis_using_subcommand key; and not __fish_seen_subcommand_from list add remove passwd help" -l accept-rollback -d 'Take the repository as it is now, although this machine has seen more in it, or another one at its place'
complete -c caddis -n "__fish_caddis_using_subcommand key; and not __fish_seen_subcommand_from list add remove passwd help" -s h -l help -d 'Print help'
complete -c caddis -n "__fish_caddis_using_subcommand key; and not __fish_seen_subcommand_from list add remove passwd help" -f -a "list" -d 'List the slots: one for each passphrase or key file'
complete -c caddis -n "__fish_caddis_using_subcommand key; and not __fish_seen_subcommand_from list add remove passwd help" -f -a "add" -d 'Add a slot with a passphrase or key file of its own'
complete -c caddis -n "__fish_caddis_using_subcommand key; and not __fish_seen_subcommand_from list add remove passwd help" -f -a "remove" -d 'Remove a slot; the last one stays'
complete -c caddis -n "__fish_caddis_using_subcommand key; and not __fish_seen_subcommand_from list add remove passwd help" -f -a "passwd" -d 'Replace the passphrase or key file that was used to open the repository'
complete -c caddis -n "__fish_caddis_using_subcommand key; and not __fish_seen_subcommand_from list add remove passwd help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from list" -s r -l repo -d 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo' -r -f -a "(__fish_complete_directories)"
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from list" -l password-file -d 'Read the passphrase from this file; one line end at its end is dropped' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from list" -l password-command -d 'Run this command in a shell and take what it prints as the passphrase' -r -f -a "(__fish_complete_command)"
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from list" -l key-file -d 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from list" -l cache-dir -d 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis' -r -f -a "(__fish_complete_directories)"
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from list" -l json -d 'Print JSON: one document for queries, one message a line for long work'
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Print errors only'
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Say what was done also when that is not for a terminal, and more of it'
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from list" -l accept-rollback -d 'Take the repository as it is now, although this machine has seen more in it, or another one at its place'
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from add" -l new-password-file -d 'Read the new passphrase from this file' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from add" -l new-password-command -d 'Run this command in a shell and take what it prints as the new passphrase' -r -f -a "(__fish_complete_command)"
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from add" -l new-key-file -d 'Use this key file; it is made when it is absent' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from add" -l kdf-memory -d 'Memory that one try of a passphrase takes (Argon2id)' -r
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from add" -l name -d 'What `key list` calls the new slot' -r
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from add" -s r -l repo -d 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo' -r -f -a "(__fish_complete_directories)"
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from add" -l password-file -d 'Read the passphrase from this file; one line end at its end is dropped' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from add" -l password-command -d 'Run this command in a shell and take what it prints as the passphrase' -r -f -a "(__fish_complete_command)"
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from add" -l key-file -d 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from add" -l cache-dir -d 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis' -r -f -a "(__fish_complete_directories)"
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from add" -l json -d 'Print JSON: one document for queries, one message a line for long work'
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from add" -s q -l quiet -d 'Print errors only'
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from add" -s v -l verbose -d 'Say what was done also when that is not for a terminal, and more of it'
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from add" -l accept-rollback -d 'Take the repository as it is now, although this machine has seen more in it, or another one at its place'
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from remove" -s r -l repo -d 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo' -r -f -a "(__fish_complete_directories)"
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from remove" -l password-file -d 'Read the passphrase from this file; one line end at its end is dropped' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from remove" -l password-command -d 'Run this command in a shell and take what it prints as the passphrase' -r -f -a "(__fish_complete_command)"
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from remove" -l key-file -d 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from remove" -l cache-dir -d 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis' -r -f -a "(__fish_complete_directories)"
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from remove" -l json -d 'Print JSON: one document for queries, one message a line for long work'
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from remove" -s q -l quiet -d 'Print errors only'
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from remove" -s v -l verbose -d 'Say what was done also when that is not for a terminal, and more of it'
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from remove" -l accept-rollback -d 'Take the repository as it is now, although this machine has seen more in it, or another one at its place'
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from passwd" -l new-password-file -d 'Read the new passphrase from this file' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from passwd" -l new-password-command -d 'Run this command in a shell and take what it prints as the new passphrase' -r -f -a "(__fish_complete_command)"
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from passwd" -l new-key-file -d 'Use this key file; it is made when it is absent' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from passwd" -l kdf-memory -d 'Memory that one try of a passphrase takes (Argon2id)' -r
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from passwd" -s r -l repo -d 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo' -r -f -a "(__fish_complete_directories)"
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from passwd" -l password-file -d 'Read the passphrase from this file; one line end at its end is dropped' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from passwd" -l password-command -d 'Run this command in a shell and take what it prints as the passphrase' -r -f -a "(__fish_complete_command)"
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from passwd" -l key-file -d 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from passwd" -l cache-dir -d 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis' -r -f -a "(__fish_complete_directories)"
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from passwd" -l json -d 'Print JSON: one document for queries, one message a line for long work'
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from passwd" -s q -l quiet -d 'Print errors only'
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from passwd" -s v -l verbose -d 'Say what was done also when that is not for a terminal, and more of it'
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from passwd" -l accept-rollback -d 'Take the repository as it is now, although this machine has seen more in it, or another one at its place'
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from passwd" -s h -l help -d 'Print help'
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the slots: one for each passphrase or key file'
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from help" -f -a "add" -d 'Add a slot with a passphrase or key file of its own'
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Remove a slot; the last one stays'
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from help" -f -a "passwd" -d 'Replace the passphrase or key file that was used to open the repository'
complete -c caddis -n "__fish_caddis_using_subcommand key; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c caddis -n "__fish_caddis_using_subcommand completions" -s r -l repo -d 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo' -r -f -a "(__fish_complete_directories)"
complete -c caddis -n "__fish_caddis_using_subcommand completions" -l password-file -d 'Read the passphrase from this file; one line end at its end is dropped' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand completions" -l password-command -d 'Run this command in a shell and take what it prints as the passphrase' -r -f -a "(__fish_complete_command)"
complete -c caddis -n "__fish_caddis_using_subcommand completions" -l key-file -d 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent' -r -F
complete -c caddis -n "__fish_caddis_using_subcommand completions" -l cache-dir -d 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis' -r -f -a "(__fish_complete_directories)"
complete -c caddis -n "__fish_caddis_using_subcommand completions" -l json -d 'Print JSON: one document for queries, one message a line for long work'
complete -c caddis -n "__fish_caddis_using_subcommand completions" -s q -l quiet -d 'Print errors only'
complete -c caddis -n "__fish_caddis_using_subcommand completions" -s v -l verbose -d 'Say what was done also when that is not for a terminal, and more of it'
complete -c caddis -n "__fish_caddis_using_subcommand completions" -l accept-rollback -d 'Take the repository as it is now, although this machine has seen more in it, or another one at its place'
complete -c caddis -n "__fish_caddis_using_subcommand completions" -s h -l help -d 'Print help'
complete -c caddis -n "__fish_caddis_using_subcommand help; and not __fish_seen_subcommand_from init backup why restore snapshots ls cat check key completions help" -f -a "init" -d 'Make a new repository'
complete -c caddis -n "__fish_caddis_using_subcommand help; and not __fish_seen_subcommand_from init backup why restore snapshots ls cat check key completions help" -f -a "backup" -d 'Save files and folders as a new snapshot'
complete -c caddis -n "__fish_caddis_using_subcommand help; and not __fish_seen_subcommand_from init backup why restore snapshots ls cat check key completions help" -f -a "why" -d 'Say which rule takes a path in or leaves it out'
complete -c caddis -n "__fish_caddis_using_subcommand help; and not __fish_seen_subcommand_from init backup why restore snapshots ls cat check key completions help" -f -a "restore" -d 'Bring back a snapshot, or a part of it'
complete -c caddis -n "__fish_caddis_using_subcommand help; and not __fish_seen_subcommand_from init backup why restore snapshots ls cat check key completions help" -f -a "snapshots" -d 'List snapshots, oldest first'
complete -c caddis -n "__fish_caddis_using_subcommand help; and not __fish_seen_subcommand_from init backup why restore snapshots ls cat check key completions help" -f -a "ls" -d 'List what a snapshot holds'
complete -c caddis -n "__fish_caddis_using_subcommand help; and not __fish_seen_subcommand_from init backup why restore snapshots ls cat check key completions help" -f -a "cat" -d 'Print a file of a snapshot'
complete -c caddis -n "__fish_caddis_using_subcommand help; and not __fish_seen_subcommand_from init backup why restore snapshots ls cat check key completions help" -f -a "check" -d 'Prove that all that snapshots need is there and whole'
complete -c caddis -n "__fish_caddis_using_subcommand help; and not __fish_seen_subcommand_from init backup why restore snapshots ls cat check key completions help" -f -a "key" -d 'Manage the passphrases and key files that open the repository'
complete -c caddis -n "__fish_caddis_using_subcommand help; and not __fish_seen_subcommand_from init backup why restore snapshots ls cat check key completions help" -f -a "completions" -d 'Print a completion script for a shell'
complete -c caddis -n "__fish_caddis_using_subcommand help; and not __fish_seen_subcommand_from init backup why restore snapshots ls cat check key completions help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c caddis -n "__fish_caddis_using_subcommand help; and __fish_seen_subcommand_from key" -f -a "list" -d 'List the slots: one for each passphrase or key file'
complete -c caddis -n "__fish_caddis_using_subcommand help; and __fish_seen_subcommand_from key" -f -a "add" -d 'Add a slot with a passphrase or key file of its own'
complete -c caddis -n "__fish_caddis_using_subcommand help; and __fish_seen_subcommand_from key" -f -a "remove" -d 'Remove a slot; the last one stays'
complete -c caddis -n "__fish_caddis_using_subcommand help; and __fish_seen_subcommand_from key" -f -a "passwd" -d 'Replace the passphrase or key file that was used to open the repository'
