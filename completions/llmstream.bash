_llmstream_completion() {
    local IFS=$'\n'
    local response type value words=() i cword=0 word last prefix is_value=

    # Readline splits words at "=", "@" and ":" as well. "--option=VALUE" is sent as two words, "@FILE" and "a:b" as one.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        last=${words[cword]-}
        if [[ $word == '=' && $last == --* ]]; then
            words[++cword]=
            is_value=1
        elif [[ $is_value ]]; then
            words[cword]=$word
            is_value=
        elif ((cword > 0)) && [[ $word == [:=]* || $last == *[:=] || $last == @ ]]; then
            words[cword]+=$word
        else
            ((i == 0)) || ((++cword))
            words[cword]=$word
        fi
    done

    response=$(env COMP_WORDS="${words[*]}" COMP_CWORD=$cword _LLMSTREAM_COMPLETE=bash_complete "$1")

    word=${words[cword]}
    prefix=
    [[ $word == *:* && $COMP_WORDBREAKS == *:* ]] && prefix=${word%"${word##*:}"}  # readline completes what follows it
    COMPREPLY=()
    for completion in $response; do
        IFS=',' read -r type value <<< "$completion"
        if [[ $type == file && $word == @* ]]; then  # readline would look for a host
            for value in $(compgen -f -- "${word#@}"); do
                [[ ! -d ${value/#\~\//$HOME/} ]] || { value+=/ && compopt -o nospace; }
                printf -v value '@%q' "$value"
                COMPREPLY+=("${value/#@\\~/@\~}")
            done
        elif [[ $type == file ]]; then
            compopt -o default
        elif [[ $type == dir ]]; then
            compopt -o dirnames
        else
            [[ $value != */ ]] || compopt -o nospace  # the name of a model follows
            COMPREPLY+=("${value#"$prefix"}")
        fi
    done
}

complete -o nosort -F _llmstream_completion llmstream
