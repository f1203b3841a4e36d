from resdet.cli.eval_loc import main

if __name__ == "__main__":
    main()
