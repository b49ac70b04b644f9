function _llmstream_completion;
    set -l response (env _LLMSTREAM_COMPLETE=fish_complete COMP_WORDS=(commandline -cp) COMP_CWORD=(commandline -t) llmstream);

    set -l token (commandline -ct);
    set -l option (string match -r -- '^--[^=]*=' $token);
    set -l prefix (string match -r -- '^(?:--[^=]*=)?(?:@|replay:)?' $token);

    for completion in $response;
        set -l metadata (string split --max 1 "," $completion);

        if test $metadata[1] = "dir";
            __fish_complete_directories (string replace -- "$prefix" "" $token);
        else if test $metadata[1] = "file";
            for path in (__fish_complete_path (string replace -- "$prefix" "" $token | string replace -r '^~/' "$HOME/"));
                string match -q -- "$prefix~*" $token; and set path (string replace -- "$HOME/" "~/" $path);
                echo "$prefix$path";
            end;
        else if test $metadata[1] = "plain";
            echo "$option"$metadata[2];
        end;
    end;
end;

complete --no-files --command llmstream --arguments "(_llmstream_completion)";
